import CLinux
import Glibc
import SystemPackage

// Maps files over parts of a mapping. The address range stays one reservation.
extension Mapping {
    /// Maps a private view of a file over a part. Its bytes are read when touched, and what is written stays in this process.
    /// - Parameters:
    ///   - part: byte offsets into the mapping, whole pages.
    ///   - fileOffset: where the part begins in the file; whole pages.
    package func mapFile(_ file: borrowing OwnedDescriptor, at fileOffset: UInt64, over part: Range<Int>) throws(SystemError) {
        try replace(part, flags: MAP_PRIVATE | MAP_NORESERVE, file.number, fileOffset)
    }

    /// Maps fresh memory, which reads as zero, over a part.
    package func mapAnonymous(over part: Range<Int>) throws(SystemError) {
        try replace(part, flags: MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS, -1, 0)
    }

    /// Maps a shared view of a file over a part. What is written goes into the file.
    package func mapShared(_ file: MemoryFile, at fileOffset: UInt64, over part: Range<Int>) throws(SystemError) {
        // Without MAP_NORESERVE the kernel reserves the huge pages now. Otherwise touching a page that the host does not have would end the
        // process.
        try replace(part, flags: file.hasHugePages ? MAP_SHARED : MAP_SHARED | MAP_NORESERVE, file.number, fileOffset)
    }

    /// Maps fresh memory over a part. It has no descriptor, and child processes share it.
    package func mapSharedAnonymous(over part: Range<Int>) throws(SystemError) {
        try replace(part, flags: MAP_SHARED | MAP_NORESERVE | MAP_ANONYMOUS, -1, 0)
    }

    /// Removes all access to a part. Touching it ends the process.
    package func forbid(_ part: Range<Int>) throws(SystemError) {
        precondition(part.lowerBound >= 0 && part.upperBound <= byteCount && !part.isEmpty, "a part outside the mapping")
        try retryingInterrupts("reserve memory", place: "\(part.count) bytes") {
            unsafe mprotect(base + part.lowerBound, part.count, PROT_NONE)
        }
    }

    /// Reads a part of a file into a part of the memory.
    /// - Parameter path: for the error message.
    package func read(_ file: borrowing OwnedDescriptor, at fileOffset: UInt64, into part: Range<Int>, path: String) throws(SystemError) {
        precondition(part.lowerBound >= 0 && part.upperBound <= byteCount, "a part outside the mapping")
        var done = 0
        while done < part.count {
            let offset = Int(fileOffset) + done
            let count = try retryingInterrupts("read guest memory", place: "\(path) at byte \(offset)") {
                unsafe pread(file.number, base + part.lowerBound + done, part.count - done, offset)
            }
            guard count > 0 else {
                throw SystemError("read guest memory", place: "\(path) at byte \(offset), where it ends", code: .ioError)
            }
            done += count
        }
    }

    private func replace(_ part: Range<Int>, flags: Int32, _ file: Int32, _ fileOffset: UInt64) throws(SystemError) {
        precondition(part.lowerBound >= 0 && part.upperBound <= byteCount && !part.isEmpty, "a part outside the mapping")
        precondition((part.lowerBound | part.upperBound | Int(fileOffset)) % 4096 == 0, "a part is whole pages")
        let result = unsafe mmap(
            base + part.lowerBound,
            part.count,
            PROT_READ | PROT_WRITE,
            flags | MAP_FIXED,
            file,
            off_t(fileOffset)
        )
        guard unsafe result != aerostat_map_failed else {
            throw SystemError.current(
                "map memory",
                place: file < 0 ? "\(part.count) bytes" : "\(part.count) bytes of a file at \(fileOffset)"
            )
        }
    }
}

extension OwnedDescriptor {
    /// Whether the file's holes stay holes when they are read through a mapping. A tmpfs allocates each such page, and if it is full the
    /// reader is killed.
    package var keepsHolesInMappings: Bool { aerostat_mapped_holes_stay(number) != 0 }
}

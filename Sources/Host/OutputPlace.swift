import CLinux
import Glibc
import SystemPackage

/// Calls that change a disk's content. They may hang, and may fail although they took effect. Tests replace them.
package struct FileCalls: Sendable {
    /// `rename(2)`, `unlink(2)`, `ftruncate(2)`. If the result is negative, `errno` has the error.
    package var rename: @Sendable (_ from: String, _ to: String) -> Int32
    package var unlink: @Sendable (_ path: String) -> Int32
    package var setLength: @Sendable (_ number: Int32, _ byteCount: Int) -> Int32

    package static let system = FileCalls(
        rename: { unsafe Glibc.rename($0, $1) },
        unlink: { unsafe Glibc.unlink($0) },
        setLength: { ftruncate($0, $1) }
    )
}

/// The first eight bytes of every guest image, whether it is complete or not: "AEROIMG" and a zero byte.
package enum ImageSignature {
    package static let bytes: [UInt8] = Array("AEROIMG".utf8) + [0]

    /// Whether an open regular file begins like a guest image.
    static func begins(_ file: borrowing OwnedDescriptor, path: String) throws(SystemError) -> Bool {
        var found = [UInt8](repeating: 0, count: bytes.count)
        let count = try retryingInterrupts("read what is there", place: path) { unsafe pread(file.number, &found, found.count, 0) }
        return count == bytes.count && found == bytes
    }
}

/// Where a file is to be written: what is there now, and what is next to it.
struct OutputPlace {
    /// The path as a person gave it.
    let path: String
    let operation: String

    /// How many times another process may finish or give up between two steps here.
    private static let maximumAttempts = 8
    /// The kernel's limit (MAXSYMLINKS).
    private static let maximumLinks = 40

    init(_ path: String, _ operation: String) { (self.path, self.operation) = (path, operation) }

    private func refusal(_ reason: String, _ code: Errno) -> SystemError { SystemError("\(operation): \(reason)", place: path, code: code) }

    /// The path with its symbolic links followed, even if nothing is there yet.
    func followingLinks() throws(SystemError) -> String {
        var result = path
        for _ in 0..<Self.maximumLinks {
            var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe readlink(result, $0.baseAddress!, $0.count) }
            // This is not a link; or opening it will report the problem.
            guard count > 0 else { return result }
            let named = String(decoding: buffer[..<count], as: UTF8.self)
            result = named.hasPrefix("/") ? named : folder(of: result) + "/" + named
        }
        throw refusal("it leads through too many symbolic links", .tooManySymbolicLinkLevels)
    }

    private func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    }

    func openFolder(of target: String) throws(SystemError) -> OwnedDescriptor {
        do throws(SystemError) { return try OwnedDescriptor.open(folder(of: target), flags: O_RDONLY | O_DIRECTORY) } catch {
            throw refusal("its folder cannot be opened", error.code)
        }
    }

    func refuseSpecial(_ target: String) throws(SystemError) {
        var status = stat()
        guard unsafe stat(target, &status) == 0, status.st_mode & S_IFMT != S_IFREG else { return }
        let isFolder = status.st_mode & S_IFMT == S_IFDIR
        throw refusal(isFolder ? "a folder is there" : "what is there is not a regular file", isFolder ? .isDirectory : .fileExists)
    }

    // MARK: The file that it would replace

    /// Checks what a file would replace. It must not be in use by anybody, and must not be a guest's memory.
    /// - Returns: the existing file, locked, so that nobody starts to use it while this is kept; `nil` if there is none.
    func takeReplaceable(_ target: String) throws(SystemError) -> OwnedDescriptor? {
        for _ in 0..<Self.maximumAttempts {
            let file: OwnedDescriptor
            do throws(SystemError) {
                // O_NONBLOCK: opening a FIFO must not wait for a writer.
                file = try OwnedDescriptor.open(target, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            } catch {
                if error.code == .noSuchFileOrDirectory { return nil }
                throw refusal("what is there cannot be opened", error.code)
            }
            try refuseUnlessFree(file)
            if file.naming(of: target) == .same { return file }
        }
        throw refusal("others keep writing to it", .resourceBusy)
    }

    /// Locks an open file whose content is about to be lost.
    func refuseUnlessFree(_ file: borrowing OwnedDescriptor) throws(SystemError) {
        guard file.isRegularFile else { throw refusal("what is there is not a regular file", .fileExists) }
        guard try file.lock(.exclusive) else { throw refusal("somebody uses it, maybe a guest that runs from it", .resourceBusy) }
        guard try !ImageSignature.begins(file, path: path) else {
            throw refusal("a guest image is there; name another file, or remove it first", .fileExists)
        }
    }

    // MARK: The partial file

    /// Always creates a new file. What a killed writer left may be mapped by a guest that a person started from it, or may belong to
    /// anybody.
    /// - Returns: the file, locked.
    func openPartial(_ partial: String, mode: UInt32, _ calls: FileCalls) throws(SystemError) -> OwnedDescriptor {
        for _ in 0..<Self.maximumAttempts {
            let file: OwnedDescriptor
            do throws(SystemError) {
                file = try OwnedDescriptor.open(partial, flags: O_RDWR | O_CREAT | O_EXCL, mode: mode)
            } catch {
                guard error.code == .fileExists else { throw SystemError(operation, place: path, code: error.code) }
                try removeLeftover(partial, calls)
                continue
            }
            guard try file.lock(.exclusive) else { continue }
            // Another process may have taken it for a leftover before it was locked, and have removed it.
            if file.naming(of: partial) == .same { return file }
        }
        throw refusal("others keep writing to it", .resourceBusy)
    }

    /// Removes the file of a writer that was killed, and the killed writer's lock with it.
    private func removeLeftover(_ partial: String, _ calls: FileCalls) throws(SystemError) {
        let file: OwnedDescriptor
        do throws(SystemError) {
            // A link is not followed, and opening a FIFO does not wait for a reader.
            file = try OwnedDescriptor.open(partial, flags: O_RDWR | O_NOFOLLOW | O_NONBLOCK)
        } catch {
            guard error.code != .noSuchFileOrDirectory else { return }
            throw SystemError("\(operation): what is in the way cannot be opened", place: partial, code: error.code)
        }
        guard file.isRegularFile else {
            throw SystemError("\(operation): something is in the way that is not a file", place: partial, code: .fileExists)
        }
        guard try file.lock(.exclusive) else { throw refusal("it is being written already", .resourceBusy) }
        guard file.naming(of: partial) == .same else { return }
        // It may be gone although the call failed. The next attempt finds out.
        guard calls.unlink(partial) < 0, file.naming(of: partial) == .same else { return }
        throw SystemError.current("\(operation): what a killed writer left cannot be removed", place: partial)
    }
}

/// Anything that is not a regular file. It is written to directly, because nothing can replace it.
enum SpecialFile {
    /// Names of this process's own descriptors. They are written at their current position, whatever they are.
    private static let ownDescriptors = ["/dev/fd/", "/proc/self/fd/"]
    private static let streams = ["/dev/stdout": STDOUT_FILENO, "/dev/stderr": STDERR_FILENO]

    /// - Returns: `nil` for a regular file, and if nothing is there.
    static func open(_ path: String) throws(SystemError) -> OwnedDescriptor? {
        if let number = streams[path] ?? ownNumber(path) {
            return OwnedDescriptor(
                adopting: try retryingInterrupts("open the file", place: path) { aerostat_fcntl(number, F_DUPFD_CLOEXEC, 0) }
            )
        }
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFREG, S_IFDIR: return nil
        // If it is a FIFO that nobody reads, this fails instead of waiting.
        default: return try .open(path, flags: O_WRONLY | O_NONBLOCK | O_NOCTTY)
        }
    }

    private static func ownNumber(_ path: String) -> Int32? {
        ownDescriptors.first { path.hasPrefix($0) }.flatMap { Int32(path.dropFirst($0.count)) }
    }
}

extension OwnedDescriptor {
    /// Opens a file that is written from its beginning while others read it. Its old content is lost. It stays locked, so that nobody else
    /// writes to it or runs a guest from it.
    public static func emptied(_ path: String, mode: UInt32) throws(SystemError) -> OwnedDescriptor {
        let place = OutputPlace(path, "write the file")
        guard !path.utf8.contains(0) else { throw SystemError(place.operation, place: path, code: .noSuchFileOrDirectory) }
        if let special = try SpecialFile.open(path) { return special }
        // Without O_TRUNC, because the file may be in use.
        let file = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_NONBLOCK, mode: mode)
        guard file.isRegularFile else { return file }
        try place.refuseUnlessFree(file)
        try retryingInterrupts("empty the file", place: path) { ftruncate(file.number, 0) }
        return file
    }
}

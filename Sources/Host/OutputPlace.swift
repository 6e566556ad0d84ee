import CLinux
import Glibc
import SystemPackage

/// Calls that change what a disk holds, that may hang, and that may fail although they happened. Tests put others in their place.
package struct FileCalls: Sendable {
    /// `rename(2)`, `unlink(2)`, `ftruncate(2)`: errno where the result is negative.
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

/// Where a file is to be written: what lies there, and what lies beside it.
struct OutputPlace {
    /// As a person gave it.
    let path: String
    let operation: String

    /// How often another process may finish or give up just between two steps here.
    private static let maximumAttempts = 8
    /// As the kernel has it (MAXSYMLINKS).
    private static let maximumLinks = 40

    init(_ path: String, _ operation: String) { (self.path, self.operation) = (path, operation) }

    private func refusal(_ reason: String, _ code: Errno) -> SystemError { SystemError("\(operation): \(reason)", place: path, code: code) }

    /// The path behind the symbolic links, also where nothing is there yet.
    func followingLinks() throws(SystemError) -> String {
        var result = path
        for _ in 0..<Self.maximumLinks {
            var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe readlink(result, $0.baseAddress!, $0.count) }
            // No link; or what is the matter is said by whoever opens it.
            guard count > 0 else { return result }
            let named = String(decoding: buffer[..<count], as: UTF8.self)
            result = named.hasPrefix("/") ? named : folder(of: result) + "/" + named
        }
        throw refusal("its links lead nowhere", .tooManySymbolicLinkLevels)
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

    // MARK: What it would replace

    /// Looks at what a file would take the place of: nothing that somebody uses, and no guest's memory.
    /// - Returns: what is there, locked, so that nobody begins to use it as long as this is kept; `nil` where nothing is there.
    func takeReplaceable(_ target: String) throws(SystemError) -> OwnedDescriptor? {
        for _ in 0..<Self.maximumAttempts {
            let file: OwnedDescriptor
            do throws(SystemError) {
                // A FIFO does not wait for its writer.
                file = try OwnedDescriptor.open(target, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            } catch {
                if error.code == .noSuchFileOrDirectory { return nil }
                throw refusal("what is there cannot be looked at", error.code)
            }
            try refuseUnlessFree(file)
            if file.naming(of: target) == .same { return file }
        }
        throw refusal("others keep writing to it", .resourceBusy)
    }

    /// Locks an open file that is about to lose what it holds.
    func refuseUnlessFree(_ file: borrowing OwnedDescriptor) throws(SystemError) {
        guard file.isRegularFile else { throw refusal("what is there is not a regular file", .fileExists) }
        guard try file.lock(.exclusive) else { throw refusal("somebody uses it, maybe a guest that runs from it", .resourceBusy) }
        guard try !ImageSignature.begins(file, path: path) else {
            throw refusal("a guest image is there; name another file, or remove it first", .fileExists)
        }
    }

    // MARK: The file beside it

    /// Always a new file: what a killed writer left may be mapped by a guest that a person started from it, or be anybody's.
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
            // Whoever took it for a leftover before it was locked has removed it.
            if file.naming(of: partial) == .same { return file }
        }
        throw refusal("others keep writing to it", .resourceBusy)
    }

    /// Removes the file of a writer that was killed, and with it its lock.
    private func removeLeftover(_ partial: String, _ calls: FileCalls) throws(SystemError) {
        let file: OwnedDescriptor
        do throws(SystemError) {
            // A link is not followed, and a FIFO does not wait for its reader.
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
        // It may be gone although the call failed: the next attempt sees.
        guard calls.unlink(partial) < 0, file.naming(of: partial) == .same else { return }
        throw SystemError.current("\(operation): what a killed writer left cannot be removed", place: partial)
    }
}

/// What is written to as it is: nothing can be put in its place.
enum SpecialFile {
    /// Descriptors of this process by name, which are written to where they stand, whatever they are.
    private static let ownDescriptors = ["/dev/fd/", "/proc/self/fd/"]
    private static let streams = ["/dev/stdout": STDOUT_FILENO, "/dev/stderr": STDERR_FILENO]

    /// - Returns: `nil` for a regular file, and where nothing is there.
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
        // Where it is a FIFO that nobody reads, that is said, and not waited for.
        default: return try .open(path, flags: O_WRONLY | O_NONBLOCK | O_NOCTTY)
        }
    }

    private static func ownNumber(_ path: String) -> Int32? {
        ownDescriptors.first { path.hasPrefix($0) }.flatMap { Int32(path.dropFirst($0.count)) }
    }
}

extension OwnedDescriptor {
    /// Opens a file that is written from its beginning while others read it: what it held is gone. It stays locked, so that nobody else
    /// writes to it or runs a guest from it.
    public static func emptied(_ path: String, mode: UInt32) throws(SystemError) -> OwnedDescriptor {
        let place = OutputPlace(path, "write the file")
        guard !path.utf8.contains(0) else { throw SystemError(place.operation, place: path, code: .noSuchFileOrDirectory) }
        if let special = try SpecialFile.open(path) { return special }
        // Not emptied here: it may be somebody's.
        let file = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_NONBLOCK, mode: mode)
        guard file.isRegularFile else { return file }
        try place.refuseUnlessFree(file)
        try retryingInterrupts("empty the file", place: path) { ftruncate(file.number, 0) }
        return file
    }
}

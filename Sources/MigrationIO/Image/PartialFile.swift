import Glibc
import Host
import SystemPackage

/// An image on its way: a file beside the one that it will be, PATH.partial, which takes its place when everything is on the disk. Until
/// then an older file of that name stays as it is, and when this value ends before, nothing is left.
///
/// One process at a time writes to a path: the partial file is locked. A killed process leaves its file and not its lock; the next one
/// removes the file.
struct PartialFile: ~Copyable {
    let path: String
    let descriptor: OwnedDescriptor
    private let folder: OwnedDescriptor
    private(set) var isPublished = false
    private var isRemoved = false

    /// How often another process may finish or give up just between opening the file and locking it.
    private static let maximumAttempts = 8

    var partialPath: String { path + ".partial" }

    init(_ path: String) throws(SystemError) {
        // A link stays, and the file that it names is replaced.
        let path = Self.resolvingLinks(path)
        var status = stat()
        // Renaming would fail at the end, after all the work.
        if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            let isFolder = status.st_mode & S_IFMT == S_IFDIR
            let operation = "write the image: \(isFolder ? "a folder is there" : "what is there is not a regular file")"
            throw SystemError(operation, place: path, code: isFolder ? .isDirectory : .fileExists)
        }
        let folder = try Self.openFolder(of: path)
        let descriptor = try Self.lock(path + ".partial")
        self.path = path
        self.folder = folder
        self.descriptor = descriptor
    }

    deinit { remove() }

    var folderNumber: Int32 { folder.number }

    private static func resolvingLinks(_ path: String) -> String {
        guard let resolved = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    private static func openFolder(of path: String) throws(SystemError) -> OwnedDescriptor {
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        do throws(SystemError) { return try OwnedDescriptor.open(folder, flags: O_RDONLY | O_DIRECTORY) } catch {
            throw SystemError("write the image: its folder cannot be opened", place: path, code: error.code)
        }
    }

    /// Always a new file: what a killed writer left may be mapped by a guest that a person started from it, or be anybody's.
    private static func lock(_ path: String) throws(SystemError) -> OwnedDescriptor {
        for _ in 0..<maximumAttempts {
            let file: OwnedDescriptor
            do throws(SystemError) {
                file = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            } catch {
                guard error.code == .fileExists else { throw error }
                try removeLeftover(path)
                continue
            }
            try lock(file, path)
            // Whoever took it for a leftover before it was locked has removed it.
            if isNamed(path, file) { return file }
        }
        throw SystemError("write the image: others keep writing to it", place: path, code: .resourceBusy)
    }

    /// Removes the file of a writer that was killed, and with it its lock.
    private static func removeLeftover(_ path: String) throws(SystemError) {
        let file: OwnedDescriptor
        do throws(SystemError) {
            // A link is not followed, and a FIFO does not wait for its reader.
            file = try OwnedDescriptor.open(path, flags: O_RDWR | O_NOFOLLOW | O_NONBLOCK)
        } catch {
            guard error.code != .noSuchFileOrDirectory else { return }
            throw SystemError("write the image: what is in the way cannot be opened", place: path, code: error.code)
        }
        var status = stat()
        guard unsafe fstat(file.number, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw SystemError("write the image: something is in the way that is not a file", place: path, code: .fileExists)
        }
        try lock(file, path)
        guard isNamed(path, file) else { return }
        try retryingInterrupts("remove what a killed migration left", place: path) { unsafe unlink(path) }
    }

    private static func lock(_ file: borrowing OwnedDescriptor, _ path: String) throws(SystemError) {
        guard flock(file.number, LOCK_EX | LOCK_NB) != 0 else { return }
        let code = Errno(rawValue: errno)
        let reason = code == .wouldBlock ? "write the image: another migration is writing to it" : "lock the image"
        throw SystemError(reason, place: path, code: code)
    }

    /// Whether a path is that of this open file, and not of one that took its place.
    private static func isNamed(_ path: String, _ file: borrowing OwnedDescriptor) -> Bool {
        var (mine, named) = (stat(), stat())
        return unsafe fstat(file.number, &mine) == 0 && lstat(path, &named) == 0 && mine.st_ino == named.st_ino
            && mine.st_dev == named.st_dev
    }

    func setLength(_ byteCount: Int) throws(SystemError) {
        try retryingInterrupts("extend the file", place: partialPath) { ftruncate(descriptor.number, byteCount) }
    }

    /// Puts the file in its place. The folder must be synced for that to survive a crash of the host.
    mutating func publish() throws(SystemError) {
        // Where ours was removed, another writer's half image may have its name.
        guard Self.isNamed(partialPath, descriptor) else {
            throw SystemError("rename the finished image", place: path, code: .noSuchFileOrDirectory)
        }
        try retryingInterrupts("rename the finished image", place: path) { unsafe rename(partialPath, path) }
        isPublished = true
        // It is an image now, and whoever starts it will hold it.
        flock(descriptor.number, LOCK_UN)
    }

    /// Leaves nothing behind, unless the file is in its place already.
    mutating func discard() {
        remove()
        isRemoved = true
    }

    private func remove() {
        if !isPublished, !isRemoved, Self.isNamed(partialPath, descriptor) { unsafe unlink(partialPath) }
    }
}

import CLinux
import Glibc
import Host
import SystemPackage

/// An image on its way: a file beside the one that it will be, PATH.partial, which takes its place when everything is on the disk. Until
/// then an older file of that name stays as it is, and when this value ends before, nothing is left.
///
/// One process at a time writes to a path: the partial file is locked. A killed process leaves its file and not its lock; the next one
/// takes the file over.
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
            throw SystemError("write the image", place: path, code: status.st_mode & S_IFMT == S_IFDIR ? .isDirectory : .invalidArgument)
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

    private static func lock(_ path: String) throws(SystemError) -> OwnedDescriptor {
        for _ in 0..<maximumAttempts {
            let file = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o600)
            guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else {
                throw SystemError("write the image: another migration is writing to it", place: path, code: Errno(rawValue: errno))
            }
            // Whoever held the lock may have renamed or removed the file before letting go.
            var (mine, named) = (stat(), stat())
            guard unsafe fstat(file.number, &mine) == 0, unsafe stat(path, &named) == 0, mine.st_ino == named.st_ino,
                mine.st_dev == named.st_dev
            else { continue }
            try retryingInterrupts("empty the file", place: path) { ftruncate(file.number, 0) }
            return file
        }
        throw SystemError("write the image: others keep writing to it", place: path, code: .resourceBusy)
    }

    /// Asks for writes past the page cache, straight from guest memory.
    /// - Returns: whether the file system takes them.
    func setDirect(_ isDirect: Bool) -> Bool {
        let flags = fcntl(descriptor.number, F_GETFL)
        return flags >= 0 && fcntl(descriptor.number, F_SETFL, isDirect ? flags | aerostat_o_direct : flags & ~aerostat_o_direct) == 0
    }

    func setLength(_ byteCount: Int) throws(SystemError) {
        try retryingInterrupts("extend the file", place: partialPath) { ftruncate(descriptor.number, byteCount) }
    }

    /// Puts the file in its place. The folder must be synced for that to survive a crash of the host.
    mutating func publish() throws(SystemError) {
        try retryingInterrupts("rename the finished image", place: path) { unsafe rename(partialPath, path) }
        isPublished = true
    }

    /// Leaves nothing behind, unless the file is in its place already.
    mutating func discard() {
        remove()
        isRemoved = true
    }

    private func remove() {
        if !isPublished, !isRemoved { unsafe unlink(partialPath) }
    }
}

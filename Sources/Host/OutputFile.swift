import CLinux
import Glibc
import Synchronization
import SystemPackage

/// Every file that a command or an option writes is written through this class.
///
/// A regular file is written next to its place, as PATH.partial, and is renamed when it is complete (`publish`). Until then an older file
/// stays as it was, and a guest that runs from the older file never sees a byte change. A symbolic link stays; the file that it names is
/// written, even if that does not exist yet.
///
/// Only one process at a time writes to a path, because the partial file is locked. A killed process leaves its partial file without the
/// lock, and the next writer removes it.
///
/// All calls may take as long as the disk likes. Any thread may use the descriptor numbers until `end()`. Everything else is for one
/// thread.
public final class OutputFile: Sendable {
    /// What is written. This decides how it is written, and what it may replace.
    public enum Content: Sendable {
        /// A guest image, at chosen offsets. It may replace another one: a guest that runs from the old one keeps it, without a name.
        case image
        /// A guest's memory, at chosen offsets. It never replaces an image, or a file that somebody holds a lock on.
        case memory
        /// Text from its beginning to its end. It never replaces those files either. Goes directly into anything that is not a regular
        /// file: a terminal, a FIFO.
        case text

        fileprivate var mode: UInt32 { self == .text ? 0o666 : 0o600 }
        fileprivate var operation: String { self == .image ? "write the image" : "write the file" }
        fileprivate var renaming: String { self == .image ? "rename the finished image" : "rename the finished file" }
    }

    /// The result of `publish()`.
    package enum Publication: Sendable {
        case published
        /// The file does not have its final name, and will not get it.
        case failed(SystemError)
        /// The file may have its final name: the call failed, and the file system does not tell what happened.
        case unknown(SystemError)
    }

    private enum State: Sendable {
        /// The file is removed at the end.
        case partial
        /// A special file.
        case inPlace
        case published
        /// The rename may have happened.
        case unknown
    }

    /// The path as it was given, for messages.
    public let path: String
    package let number: Int32
    /// The folder's descriptor, to sync it; `nil` for a special file.
    package let folderNumber: Int32?
    private let content: Content
    private let calls: FileCalls
    /// The file's final path: `path` with its links followed.
    private let target: String
    private let state: Mutex<State>
    private let opened: Mutex<Opened?>

    /// Closed when the last reference goes. Only callers into this object hold one.
    private final class Opened: Sendable {
        let file: OwnedDescriptor
        let folder: OwnedDescriptor?

        init(_ file: consuming OwnedDescriptor, _ folder: consuming OwnedDescriptor?) {
            self.file = file
            self.folder = folder
        }
    }

    /// - Parameter calls: replacements for the kernel's calls, for tests.
    package init(_ path: String, _ content: Content, calls: FileCalls) throws(SystemError) {
        (self.path, self.content, self.calls) = (path, content, calls)
        guard !path.isEmpty, !path.utf8.contains(0) else { throw SystemError(content.operation, place: path, code: .noSuchFileOrDirectory) }
        if content == .text, let special = try SpecialFile.open(path) {
            (number, folderNumber, target) = (special.number, nil, path)
            state = Mutex(.inPlace)
            opened = Mutex(Opened(special, nil))
            return
        }
        let place = OutputPlace(path, content.operation)
        target = try place.followingLinks()
        // Check now, because a later error would waste all the work.
        try place.refuseSpecial(target)
        if content != .image { _ = try place.takeReplaceable(target) }
        let folder = try place.openFolder(of: target)
        let file = try place.openPartial(target + Self.suffix, mode: content.mode, calls)
        (number, folderNumber) = (file.number, folder.number)
        state = Mutex(.partial)
        opened = Mutex(Opened(file, folder))
    }

    public convenience init(_ path: String, _ content: Content) throws(SystemError) { try self.init(path, content, calls: .system) }

    deinit { end() }

    private static let suffix = ".partial"
    private var partialPath: String { target + Self.suffix }

    /// Writes a whole text.
    public static func write(_ text: String, to path: String) throws(SystemError) {
        let file = try OutputFile(path, .text)
        try file.append(Array(text.utf8))
        try file.finish()
    }

    // MARK: Content

    /// Writes after what was written before.
    public func append(_ bytes: [UInt8]) throws(SystemError) { try file.file.writeAll(bytes, path: path) }

    /// Writes at an offset. What is not written is a hole.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        try file.file.writeAll(bytes, at: offset, path: path)
    }

    /// Sets the file's length. What was not written reads as zero.
    public func setLength(_ byteCount: UInt64) throws(SystemError) {
        try retryingInterrupts("extend the file", place: path) { calls.setLength(number, Int(byteCount)) }
    }

    private var file: Opened {
        guard let file = opened.withLock({ $0 }) else { preconditionFailure("a file that was ended is used") }
        return file
    }

    /// Asks for writes that bypass the page cache; see `OwnedDescriptor.setDirect`.
    package func setDirect(_ isDirect: Bool) -> Bool { file.file.setDirect(isDirect) }

    // MARK: Ends

    /// Gives the file its final name. Its folder must be synced for that to survive a crash of the host.
    package func publish() -> Publication {
        guard state.withLock({ $0 == .partial }) else { return .published }
        do throws(SystemError) {
            // Others replace a partial file only if it is not locked. Ours is locked, so if it was replaced, somebody interfered.
            guard file.file.naming(of: partialPath) == .same else {
                throw SystemError(content.renaming, place: path, code: .noSuchFileOrDirectory)
            }
            let held = content == .image ? nil : try OutputPlace(path, content.operation).takeReplaceable(target)
            defer { _ = held }
            return rename()
        } catch {
            return .failed(error)
        }
    }

    /// A rename that failed may have happened all the same: its answer was lost on the way from a file server, or it was done twice. An
    /// error proves nothing, so the names are checked.
    private func rename() -> Publication {
        let code = Errno(rawValue: calls.rename(partialPath, target) == 0 ? 0 : errno)
        let error = SystemError(content.renaming, place: path, code: code)
        if code.rawValue != 0, file.file.naming(of: target) != .same {
            // While the file has its old name, it has no other.
            if file.file.naming(of: partialPath) == .same { return .failed(error) }
            state.withLock { $0 = .unknown }
            return .unknown(error)
        }
        state.withLock { $0 = .published }
        // A process that starts the image takes a lock of its own.
        file.file.unlock()
        return .published
    }

    /// Gives the file its final name, and closes it.
    public func finish() throws(SystemError) {
        let publication = publish()
        end()
        switch publication {
        case .published: return
        case .failed(let error), .unknown(let error): throw error
        }
    }

    /// Closes the file. If it was not published, removes it.
    public func end() {
        guard let last = opened.withLock({ $0.take() }) else { return }
        guard state.withLock({ $0 == .partial }), last.file.naming(of: partialPath) == .same else { return }
        _ = calls.unlink(partialPath)
    }
}

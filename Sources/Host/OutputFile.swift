import CLinux
import Glibc
import Synchronization
import SystemPackage

/// The one door for every file that a command or an option writes.
///
/// A regular file is written beside its place, as PATH.partial, and takes its place when it is whole (`publish`): until then an older file
/// stays as it was, and a guest that runs from that one never sees a byte change. A symbolic link stays, and the file that it names is
/// written, also where there is none yet.
///
/// One process at a time writes to a path, because the partial file is locked. A killed process leaves its partial file without the lock,
/// and the next one removes it.
///
/// All of it may take as long as the disk likes. The numbers may be used by any thread until `end()`; everything else is for one.
public final class OutputFile: Sendable {
    /// What is written decides how, and what it may take the place of.
    public enum Content: Sendable {
        /// A guest image, at chosen offsets. It may replace another one: a guest that runs from that one keeps it, without a name.
        case image
        /// A guest's memory, at chosen offsets. Never in the place of an image, nor of a file that somebody holds a lock on.
        case memory
        /// Text from its beginning to its end. Never in those places either; straight into what is no regular file: a terminal, a FIFO.
        case text

        fileprivate var mode: UInt32 { self == .text ? 0o666 : 0o600 }
        fileprivate var operation: String { self == .image ? "write the image" : "write the file" }
        fileprivate var renaming: String { self == .image ? "rename the finished image" : "rename the finished file" }
    }

    /// What became of `publish()`.
    package enum Publication: Sendable {
        case published
        /// The file is not in its place, and will not be.
        case failed(SystemError)
        /// It may be in its place: the call failed, and the file system does not say what came of it.
        case unknown(SystemError)
    }

    private enum State: Sendable {
        /// Goes away at the end.
        case partial
        /// A special file.
        case inPlace
        case published
        /// The rename may have happened.
        case unknown
    }

    /// As it was given, for messages.
    public let path: String
    package let number: Int32
    /// Of the folder, for its sync; `nil` for a special file.
    package let folderNumber: Int32?
    private let content: Content
    private let calls: FileCalls
    /// Where the file will be: `path` with its links followed.
    private let target: String
    private let state: Mutex<State>
    private let opened: Mutex<Opened?>

    /// Closed with the last reference, which only whoever calls into this object holds.
    private final class Opened: Sendable {
        let file: OwnedDescriptor
        let folder: OwnedDescriptor?

        init(_ file: consuming OwnedDescriptor, _ folder: consuming OwnedDescriptor?) {
            self.file = file
            self.folder = folder
        }
    }

    /// - Parameter calls: for tests; others than the kernel's.
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
        // Later would be after all the work.
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

    /// Writes behind what was written before.
    public func append(_ bytes: [UInt8]) throws(SystemError) { try file.file.writeAll(bytes, path: path) }

    /// Writes at a place; what is not written is a hole.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        try file.file.writeAll(bytes, at: offset, path: path)
    }

    /// Gives the file its length; what was not written reads as zero.
    public func setLength(_ byteCount: UInt64) throws(SystemError) {
        try retryingInterrupts("extend the file", place: path) { calls.setLength(number, Int(byteCount)) }
    }

    private var file: Opened {
        guard let file = opened.withLock({ $0 }) else { preconditionFailure("a file that was ended is used") }
        return file
    }

    /// Asks for writes past the page cache; see `OwnedDescriptor.setDirect`.
    package func setDirect(_ isDirect: Bool) -> Bool { file.file.setDirect(isDirect) }

    // MARK: Ends

    /// Puts the file in its place. Its folder must be synced for that to survive a crash of the host.
    package func publish() -> Publication {
        guard state.withLock({ $0 == .partial }) else { return .published }
        do throws(SystemError) {
            // A killed writer's is replaced where it is seen not to be locked; ours is, so somebody has interfered.
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

    /// A rename that failed may have happened all the same: its answer was lost on the way from a file server, or it was done twice. So an
    /// error proves nothing, and the names are looked at.
    private func rename() -> Publication {
        let code = Errno(rawValue: calls.rename(partialPath, target) == 0 ? 0 : errno)
        let error = SystemError(content.renaming, place: path, code: code)
        if code.rawValue != 0, file.file.naming(of: target) != .same {
            // As long as it has its old name it has no other.
            if file.file.naming(of: partialPath) == .same { return .failed(error) }
            state.withLock { $0 = .unknown }
            return .unknown(error)
        }
        state.withLock { $0 = .published }
        // Whoever starts an image holds a lock of his own.
        file.file.unlock()
        return .published
    }

    /// Puts the file in its place, and closes it.
    public func finish() throws(SystemError) {
        let publication = publish()
        end()
        switch publication {
        case .published: return
        case .failed(let error), .unknown(let error): throw error
        }
    }

    /// Closes the file; leaves nothing of one that was not published.
    public func end() {
        guard let last = opened.withLock({ $0.take() }) else { return }
        guard state.withLock({ $0 == .partial }), last.file.naming(of: partialPath) == .same else { return }
        _ = calls.unlink(partialPath)
    }
}

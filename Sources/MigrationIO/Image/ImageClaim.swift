public import AerostatHost
import AerostatMigration
import Glibc
import Synchronization
import SystemPackage

/// What an image is opened for.
public enum ImageUse: Hashable, Sendable {
    /// To read it. This restricts nobody.
    case reading
    /// To start its guest. No other process may then start the guest or a copy of it (rule "one owner of what outlives a process"). Refused
    /// if the guest has moved on.
    case starting
    /// To start a copy of its guest. Copies may run in parallel, but the image's own guest must not run at the same time.
    case copying

    fileprivate var lock: FileLock? {
        switch self {
        case .reading: nil
        case .starting: .exclusive
        case .copying: .shared
        }
    }
}

/// Holds an image while a guest from it is here, so that no second process starts the same guest (rule "one owner"). It is a lock on the
/// open file that the guest's memory is read from. The lock ends when this object and that memory are gone, or with the process.
public final class ImageClaim: Sendable {
    /// How often the image may be replaced between opening it and locking it.
    private static let maximumAttempts = 8

    /// The image's path, for messages.
    public let path: String
    /// Whether the guest here is the image's own, not a copy.
    public let isExclusive: Bool
    private let descriptor: OwnedDescriptor
    /// What the file's mark says, or may say.
    private let hasLeft = Mutex(false)

    fileprivate init(_ file: borrowing SourceFile, _ lock: FileLock) throws(SystemError) {
        path = file.path
        isExclusive = lock == .exclusive
        descriptor = try file.withDescriptor { file throws(SystemError) in try file.duplicate() }
    }

    /// Opens an image and locks what was opened before anything is read from it. Then checks that the path still leads to this file.
    /// Otherwise another process could have the new file at that path while this one has the old one.
    /// - Parameter opened: called when the file is open but not locked yet; for tests.
    static func open(_ path: String, for use: ImageUse, opened: () -> Void) throws(ImageError) -> SourceFile {
        var writable = false
        for _ in 0..<maximumAttempts {
            let file = try ImageError.reading { () throws(SystemError) in try SourceFile(path, writable: writable) }
            opened()
            guard let lock = use.lock else { return file }
            // On a file server only a writable descriptor can be locked.
            guard try take(lock, on: file) else {
                writable = true
                continue
            }
            let naming = try ImageError.reading { () throws(SystemError) in
                try file.withDescriptor { (file) throws(SystemError) in file.naming(of: path, followsLink: true) }
            }
            switch naming {
            case .same: return file
            case .different: continue
            case .unknown: throw .system(operation: "see whether the path still leads to the image", path: path, reason: "\(Errno.ioError)")
            }
        }
        throw .system(operation: "open the image: others keep replacing it", path: path, reason: "\(Errno.resourceBusy)")
    }

    /// - Returns: false if the descriptor is not of a kind that can be locked.
    private static func take(_ lock: FileLock, on file: borrowing SourceFile) throws(ImageError) -> Bool {
        var isHeldByCopies = false
        let isLocked: Bool
        do throws(SystemError) {
            isLocked = try file.withDescriptor { (file) throws(SystemError) in
                if try file.lock(lock) { return true }
                if lock == .exclusive { isHeldByCopies = try file.lock(.shared) }
                return false
            }
        } catch {
            if error.code == .badFileDescriptor { return false }
            throw ImageError(error)
        }
        guard isLocked else { throw .inUse(byCopies: isHeldByCopies) }
        return true
    }

    // MARK: The guest has left

    /// Records in the image, durably, that its guest has left for another process or image, or is about to; or that it is here again. An
    /// image with this mark can only be started as a copy, even when this process and its lock are gone. Writes only if that changes
    /// something.
    public func setLeft(_ hasLeft: Bool) throws(SystemError) {
        precondition(isExclusive, "a copy's guest was never in the image")
        let isNews = self.hasLeft.withLock { said in
            defer { said = hasLeft }
            return said != hasLeft
        }
        guard isNews else { return }
        // Write to the file that is locked, even if its path leads to another one by now.
        let file = try descriptor.reopen(flags: O_WRONLY)
        try file.writeAll(ImageLayout.leftMark(hasLeft), at: UInt64(ImageLayout.leftMarkOffset), path: path)
        try retryingInterrupts("get the image's mark onto the disk", place: path) { fdatasync(file.number) }
    }
}

extension GuestImage {
    /// The claim that keeps the image for the guest that is started from it; `nil` if it was opened for reading.
    static func claim(_ file: borrowing SourceFile, _ use: ImageUse) throws(ImageError) -> ImageClaim? {
        guard let lock = use.lock else { return nil }
        do throws(SystemError) { return try ImageClaim(file, lock) } catch { throw ImageError(error) }
    }
}

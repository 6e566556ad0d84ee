import Glibc
public import Host
import SystemPackage

/// Holds an image as long as a guest runs from it, so that no second process starts the same guest (rule "one owner"): a lock on the file
/// that goes with this object, or with its process.
public final class ImageClaim: Sendable {
    private let descriptor: OwnedDescriptor

    public init(_ path: String) throws(SystemError) {
        descriptor = try OwnedDescriptor.open(path, flags: O_RDONLY | O_NONBLOCK)
        guard flock(descriptor.number, LOCK_EX | LOCK_NB) != 0 else { return }
        let code = Errno(rawValue: errno)
        throw code == .wouldBlock
            ? SystemError("start the guest: another process runs it from this image (--clone starts a second one)", place: path, code: code)
            : SystemError("lock the image", place: path, code: code)
    }
}

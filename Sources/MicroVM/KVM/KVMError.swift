import CLinux
import Glibc
public import SystemPackage

/// Why KVM refuses a request, and what helps.
public enum KVMError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The device does not exist.
    case absent(path: String)
    /// This user may not open the device; `group` owns it.
    case forbidden(path: String, group: String)
    /// Something else is wrong with the device.
    case unusable(path: String, Errno)
    /// It has a version of the interface other than 12, the only one there ever was.
    case version(Int, path: String)
    /// It lacks a capability that a machine needs here.
    case capability(String, path: String)
    case vcpus(Int, maximum: Int)
    /// A request failed: its name in KVM's documentation, and what it was made on.
    case request(String, place: String, Errno)

    public var description: String {
        switch self {
        case .absent(let path):
            "there is no \(path): load the kernel's module kvm_intel or kvm_amd; inside a virtual machine its host must allow nesting"
        case .forbidden(let path, let group):
            "\(path) may not be opened: add this user to the group \(group) (usermod -a -G \(group) USER, then log in again)"
        case .unusable(let path, let code): "\(path) cannot be used: \(code)"
        case .version(let version, let path): "\(path) has version \(version) of the KVM interface, but 12 is needed"
        case .capability(let name, let path): "\(path) lacks \(name), which a machine needs here: a newer host kernel has it"
        case .vcpus(let count, let maximum): "a machine has 1 to \(maximum) vCPUs, not \(count)"
        case .request(let name, let place, let code): "\(name) failed (\(place)): \(code)"
        }
    }

    /// The error for a device that could not be opened.
    package static func opening(_ path: String, _ code: Errno) -> KVMError {
        switch code {
        case .noSuchFileOrDirectory, .noSuchAddressOrDevice: .absent(path: path)
        case .permissionDenied, .notPermitted: .forbidden(path: path, group: owningGroup(of: path))
        default: .unusable(path: path, code)
        }
    }

    /// The group of the file, or its number if the group has no name.
    private static func owningGroup(of path: String) -> String {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return "kvm" }
        var entry = unsafe group()
        var found: UnsafeMutablePointer<group>?
        var names = [CChar](repeating: 0, count: 16384)
        guard unsafe getgrgid_r(status.st_gid, &entry, &names, names.count, &found) == 0, let group = unsafe found else {
            return "\(status.st_gid)"
        }
        return unsafe String(cString: group.pointee.gr_name)
    }
}

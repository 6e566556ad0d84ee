import AerostatHost
import Glibc

/// A file in memory that has no name but its descriptor's; written anew for each input.
final class ScratchFile: Sendable {
    private let descriptor: OwnedDescriptor
    let path: String

    init() {
        var template = Array("/dev/shm/aerostat-fuzz-XXXXXX".utf8CString)
        let number = unsafe mkstemp(&template)
        guard number >= 0, unsafe unlink(template) == 0 else { fatalError("no file can be made in /dev/shm") }
        descriptor = OwnedDescriptor(adopting: number)
        path = "/proc/self/fd/\(number)"
    }

    /// All of it becomes a hole.
    func reset(byteCount: Int) {
        guard ftruncate(descriptor.number, 0) == 0, ftruncate(descriptor.number, byteCount) == 0 else { fatalError("ftruncate") }
    }

    func write(_ bytes: [UInt8], at offset: Int) {
        guard unsafe bytes.isEmpty || pwrite(descriptor.number, bytes, bytes.count, offset) == bytes.count else { fatalError("pwrite") }
    }

    func read(_ range: Range<Int>) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            count = unsafe pread(descriptor.number, buffer.baseAddress, range.count, range.lowerBound)
        }
    }
}

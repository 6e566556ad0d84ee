import AerostatHost
import CLinux
import Glibc
import SystemPackage

/// Memory that the kernel shares with this process through a descriptor of KVM's.
@safe struct SharedMapping: ~Copyable, @unchecked Sendable {
    // @unchecked: an address and a length that never change; what lies there is guarded by whoever uses it.
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    /// - Parameters:
    ///   - byteCount: more than zero.
    ///   - page: which of the descriptor's pages comes first.
    init(_ descriptor: borrowing KVMDescriptor, byteCount: Int, page: Int = 0) throws(KVMError) {
        let address = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.number, page * 4096)
        guard let address = unsafe address, unsafe address != aerostat_map_failed else {
            throw .request("mmap", place: descriptor.place, Errno(rawValue: errno))
        }
        unsafe base = address
        self.byteCount = byteCount
    }

    deinit { unsafe munmap(base, byteCount) }
}

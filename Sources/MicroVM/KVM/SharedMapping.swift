import AerostatHost
import CLinux
import Glibc
import SystemPackage

/// Memory that the kernel shares with this process through a KVM descriptor.
@safe struct SharedMapping: ~Copyable, @unchecked Sendable {
    // @unchecked: the address and the length never change; users guard the memory itself.
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    /// - Parameters:
    ///   - byteCount: more than zero.
    ///   - page: the first page of the descriptor to map.
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

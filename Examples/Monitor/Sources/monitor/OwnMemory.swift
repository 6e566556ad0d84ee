import AerostatGuestMemory
import AerostatMigration
import Glibc

/// Memory that the monitor maps itself, as a monitor does that has its own ways with memory.
@safe
final class OwnMemory: @unchecked Sendable {
    // @unchecked: an address and a length that never change. What lies there belongs to the guest.
    private let address: UnsafeMutableRawPointer
    private let byteCount: Int

    init(byteCount: Int) throws {
        let address = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else {
            throw GuestError("cannot map \(byteCount) bytes of guest memory: error \(errno)")
        }
        unsafe self.address = address
        self.byteCount = byteCount
    }

    /// The guest's memory holds this object, so that it stays mapped as long as somebody may look at it.
    var adopted: AdoptedMemory { unsafe AdoptedMemory(privateAnonymousAt: address, owner: self) }

    deinit { unsafe munmap(address, byteCount) }
}

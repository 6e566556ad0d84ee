import AerostatGuestMemory
import AerostatMigration

/// The parts of a new machine, and the software that it starts.
public struct MicroVMConfiguration: Sendable {
    /// Bytes of RAM, whole pages.
    public var memory: UInt64
    /// 1 to 64.
    public var vcpus: Int
    /// The virtio devices, in the order of their places. At most 18, and only one of each kind.
    public var devices = DeviceMaker.standard
    var software: Software
    /// The size of each vCPU's ring of written pages, if the tracker uses rings: a power of two.
    package var ringEntries = KVMDirtyRingTracker.entries

    enum Software: Sendable {
        case linux(kernel: String, initrd: String?, commandLine: String)
        case tiny(TinyGuest)
    }

    /// A Linux kernel: a bzImage or an ELF file.
    public init(memory: UInt64, vcpus: Int = 1, kernel: String, initrd: String? = nil, commandLine: String) {
        self.memory = memory
        self.vcpus = vcpus
        software = .linux(kernel: kernel, initrd: initrd, commandLine: commandLine)
    }

    /// The tiny guest. By default it has as much memory as it needs.
    package init(_ guest: TinyGuest, memory: UInt64? = nil) {
        self.memory = memory ?? guest.memoryBytes
        vcpus = guest.vcpus
        software = .tiny(guest)
    }

    func regions() throws(GuestError) -> RegionTable {
        guard memory > 0, memory % UInt64(GuestPage.size) == 0 else { throw GuestError("memory of \(memory) bytes is not whole pages") }
        do throws(RegionTableError) { return try MachineLayout.regions(memory: memory) } catch { throw GuestError("\(error)") }
    }
}

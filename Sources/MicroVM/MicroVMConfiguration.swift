import AerostatGuestMemory
import AerostatMigration

/// What a new machine is, and what it starts.
public struct MicroVMConfiguration: Sendable {
    /// Bytes of RAM, whole pages.
    public var memory: UInt64
    /// 1 to 64.
    public var vcpus: Int
    /// The virtio devices, in the order of their places. At most 18, no two of one kind.
    public var devices = DeviceMaker.standard
    var software: Software
    /// Of each vCPU's ring of written pages, where the tracker has rings: a power of two.
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

    /// The tiny guest, with as much memory as it needs unless told otherwise.
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

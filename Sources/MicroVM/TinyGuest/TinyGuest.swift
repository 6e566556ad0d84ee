package import AerostatGuestMemory
import CTinyGuest

/// A guest of our own in a few hundred bytes of machine code (`TinyGuest.S`): it writes a pattern over memory, answers on the serial
/// port, drives a round of hints, and asks for random numbers. It runs on any KVM, also on one that emulates instructions, in milliseconds.
///
///     1 MiB    code, a page     + 4 KiB parameters, record and ring (five pages)
///     2 MiB    the pattern's pages, then the free blocks
package struct TinyGuest: Hashable, Sendable {
    /// How many pages the vCPUs write again and again.
    package var pages: Int
    package var seed: UInt64
    package var vcpus: Int
    /// Whether it looks for a balloon.
    package var drivesBalloon: Bool
    /// Whether it looks for a random number device behind the balloon.
    package var drivesEntropy: Bool
    /// The free memory that it reports: how many blocks, and their size in bytes.
    package var freeBlocks: Int
    package var blockBytes: Int
    /// How many blocks it takes into use again after each report.
    package var reusedBlocks: Int

    package init(
        pages: Int = 256,
        seed: UInt64 = 1,
        vcpus: Int = 1,
        drivesBalloon: Bool = true,
        drivesEntropy: Bool = true,
        freeBlocks: Int = 8,
        blockBytes: Int = 1 << 20,
        reusedBlocks: Int = 2
    ) {
        precondition(freeBlocks <= Int(TINY_RING_SIZE) - 2 && reusedBlocks <= freeBlocks && blockBytes % GuestPage.size == 0)
        self.pages = pages
        self.seed = seed
        self.vcpus = vcpus
        self.drivesBalloon = drivesBalloon
        self.drivesEntropy = drivesEntropy
        self.freeBlocks = freeBlocks
        self.blockBytes = blockBytes
        self.reusedBlocks = reusedBlocks
    }

    static let code: UInt64 = 1 << 20
    static let parameters = code + UInt64(GuestPage.size)
    static let record = parameters + UInt64(TINY_RECORD)
    static let pattern: UInt64 = 2 << 20

    /// The balloon's interrupt vector at the local APIC.
    package static let vector = Int(TINY_VECTOR)

    /// Where the free blocks begin.
    var free: UInt64 { (Self.pattern + UInt64(pages * GuestPage.size) + 0x1F_FFFF) & ~0x1F_FFFF }

    /// The memory that it needs, rounded up to blocks of 2 MiB.
    package var memoryBytes: UInt64 { (free + UInt64(freeBlocks * blockBytes) + 0x1F_FFFF) & ~0x1F_FFFF }

    /// Loads the guest into unused RAM. Free memory is filled with data, as if it had been in use before.
    package func load(into memory: GuestRAM) throws(AccessError) -> BootEntry {
        precondition(
            UInt64(TINY_IOAPIC) == MachineLayout.ioapicBase && UInt64(TINY_LOCAL_APIC) == MachineLayout.localAPICBase
                && UInt32(TINY_BALLOON_INTERRUPT) == MachineLayout.virtioInterrupts[0],
            "the tiny guest was made for another machine"
        )
        let start = unsafe UnsafeRawPointer(aerostat_tiny_guest_start_address())
        let count = Int(aerostat_tiny_guest_byte_count())
        try unsafe memory.write(UnsafeRawBufferPointer(start: start, count: count), at: GuestAddress(Self.code))
        let fields: [(Int32, UInt64)] = [
            (TINY_PATTERN, Self.pattern), (TINY_PAGES, UInt64(pages)), (TINY_SEED, seed), (TINY_VCPUS, UInt64(vcpus)),
            (TINY_BALLOON, drivesBalloon ? MachineLayout.virtioBase : 0), (TINY_FREE, free), (TINY_BLOCKS, UInt64(freeBlocks)),
            (TINY_BLOCK_BYTES, UInt64(blockBytes)), (TINY_REUSED, UInt64(reusedBlocks)),
            (TINY_ENTROPY, drivesEntropy ? MachineLayout.virtioBase + MachineLayout.virtioStride : 0),
        ]
        for (offset, value) in fields { try memory.store(value, at: GuestAddress(Self.parameters + UInt64(offset))) }
        try memory.fill(0xA5, at: GuestAddress(free), byteCount: freeBlocks * blockBytes)
        let tables = try IdentityPageTables.write(into: memory)
        let entry = BootEntry(.long64(pageTables: tables), instruction: Self.code, rsi: Self.parameters)
        try entry.writeDescriptors(into: memory)
        return entry
    }
}

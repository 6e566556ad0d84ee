package import AerostatGuestMemory
import CTinyGuest

extension TinyGuest {
    /// Recognizes a tiny guest in a machine's memory. Returns `nil` if the memory holds another guest. The memory is foreign: it may have
    /// come from anywhere.
    package init?(in memory: GuestRAM) {
        do throws(AccessError) {
            guard let found = try Self.parameters(in: memory) else { return nil }
            self = found
        } catch {
            // A tiny guest would not fit this memory.
            return nil
        }
    }

    private static func parameters(in memory: GuestRAM) throws(AccessError) -> TinyGuest? {
        let count = Int(aerostat_tiny_guest_byte_count())
        let start = unsafe UnsafeRawPointer(aerostat_tiny_guest_start_address())
        let ours = unsafe Array(UnsafeRawBufferPointer(start: start, count: count))
        guard try memory.read(at: GuestAddress(code), byteCount: count) == ours else { return nil }
        func field(_ offset: Int32, upTo maximum: Int) throws(AccessError) -> Int? {
            let value: UInt64 = try memory.load(at: GuestAddress(parameters + UInt64(offset)))
            return value <= UInt64(maximum) ? Int(value) : nil
        }
        let bytes = Int(clamping: memory.regions.regions[0].byteCount)
        guard let pages = try field(TINY_PAGES, upTo: memory.pageCount), pages > 0,
            let vcpus = try field(TINY_VCPUS, upTo: KVM.maximumVCPUs), vcpus > 0,
            let blocks = try field(TINY_BLOCKS, upTo: Int(TINY_RING_SIZE) - 2),
            let blockBytes = try field(TINY_BLOCK_BYTES, upTo: bytes), blockBytes % GuestPage.size == 0,
            let reused = try field(TINY_REUSED, upTo: blocks)
        else { return nil }
        let balloon: UInt64 = try memory.load(at: GuestAddress(parameters + UInt64(TINY_BALLOON)))
        let entropy: UInt64 = try memory.load(at: GuestAddress(parameters + UInt64(TINY_ENTROPY)))
        let found = TinyGuest(
            pages: pages,
            seed: try memory.load(at: GuestAddress(parameters + UInt64(TINY_SEED))),
            vcpus: vcpus,
            drivesBalloon: balloon != 0,
            drivesEntropy: entropy != 0,
            freeBlocks: blocks,
            blockBytes: blockBytes,
            reusedBlocks: reused
        )
        return found.memoryBytes <= UInt64(bytes) ? found : nil
    }
}

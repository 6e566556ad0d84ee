import AerostatGuestMemory
import AerostatVirtio

/// Reads the device-readable part of a chain in pieces. It is an array of entries of one size; an entry may cross segments.
///
/// The guest may change the buffer meanwhile, so each byte is read only once.
struct BufferReader: Sendable {
    private var segments: ArraySlice<VirtqueueSegment> = []
    /// The offset in the first of `segments`.
    private var offset = 0
    /// How many bytes may still be read.
    private var left = 0
    let entryBytes: Int

    init(entryBytes: Int) { self.entryBytes = entryBytes }

    /// Begins a chain, and counts the parts that cannot be read.
    /// - Parameter maximumEntries: entries past this number are ignored.
    mutating func begin(_ chain: DescriptorChain, maximumEntries: Int, _ counters: inout BalloonCounters) {
        segments = chain.readable
        offset = 0
        left = maximumEntries * entryBytes
        counters.wrongWaySegments += chain.writable.count
        let total = segments.reduce(0) { $0 + Int($1.length) }
        counters.oddBytes += total % entryBytes
        counters.surplusBytes += max(total - total % entryBytes - left, 0)
    }

    var isAtEnd: Bool { segments.isEmpty || left == 0 }

    /// The next whole entries, one after the other.
    /// - Parameter maximum: the most entries to return. Fewer are returned at the end of the buffer.
    mutating func take(_ maximum: Int, from memory: GuestRAM, _ counters: inout BalloonCounters) -> [UInt8] {
        let wanted = min(maximum * entryBytes, left)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(wanted)
        while bytes.count < wanted, let segment = segments.first {
            let count = min(Int(segment.length) - offset, wanted - bytes.count)
            let place = segment.address.advanced(by: UInt64(offset))
            guard let place, let piece = try? memory.read(at: place, byteCount: count) else {
                counters.unreadableSegments += segments.count
                segments = []
                break
            }
            bytes += piece
            offset += count
            if offset == Int(segment.length) {
                segments.removeFirst()
                offset = 0
            }
        }
        left -= bytes.count
        return bytes.count % entryBytes == 0 ? bytes : Array(bytes[..<(bytes.count / entryBytes * entryBytes)])
    }
}

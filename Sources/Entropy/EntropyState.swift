import AerostatGuestMemory
import AerostatVirtio

#if BrokenEngines
    import AerostatHost
#endif

/// The state that the device's calls and its thread share, and the code that answers one request. Callers hold the worker's lock.
struct EntropyState: DeviceWork {
    /// The most bytes that one request gets, however long its buffers are. This keeps a step short and bounds what it takes from the host.
    /// A device may fill less than the whole buffer (5.4.6.1); the driver then asks again.
    static let maximumRequestBytes = 64 << 10

    let memory: GuestRAM
    let source: @Sendable (_ count: Int) -> [UInt8]?
    var queues: DeviceQueues

    mutating func step() -> DeviceStep {
        switch queues.nextChain() {
        case .nothing, .broken: return .sleep
        case .arrived: return .again
        case .chain(let chain, _, _):
            let wanted = Self.byteCount(of: chain)
            // A chain without a writable segment is not a request, but it is still given back.
            var written = 0
            if wanted > 0 {
                // While the host has nothing to give, the request stays in work.
                guard let bytes = source(wanted) else { return .rest }
                written = write(bytes, into: chain)
            }
            queues.giveBack(length: UInt32(written))
            return .again
        }
    }

    private static func byteCount(of chain: DescriptorChain) -> Int {
        Int(min(chain.writable.reduce(UInt64(0)) { $0 + UInt64($1.length) }, UInt64(maximumRequestBytes)))
    }

    /// Writes through the write door, segment by segment, and stops at a segment that is not in RAM. So the written bytes are the beginning
    /// of the chain.
    /// - Returns: how many bytes were written.
    private func write(_ bytes: [UInt8], into chain: DescriptorChain) -> Int {
        var written = 0
        for segment in chain.writable where written < bytes.count {
            let count = min(Int(segment.length), bytes.count - written)
            #if BrokenEngines
                let restore = memory.unmarkingWrite(at: segment.address)
                defer { restore() }
            #endif
            do throws(AccessError) {
                try memory.write(Array(bytes[written..<written + count]), at: segment.address)
            } catch {
                break
            }
            written += count
        }
        return written
    }
}

import AerostatGuestMemory
import AerostatVirtio

/// All that the random number driver remembers, in the boot header's page. Zeros are a driver that has not looked for its device.
package struct EntropyRecord: BitwiseCopyable {
    package enum Phase: UInt32 {
        case reset
        case live
        /// There is no such device, or it asked for a reset.
        case gone
    }

    private var phaseWord: UInt32 = Phase.reset.rawValue
    /// Of the buffer, as the last answer left it.
    package var checksum: UInt32 = 0
    var features: UInt64 = 0
    /// Requests made and answered since the ring was set up. At most one is with the device.
    package var requests: UInt64 = 0
    package var answers: UInt64 = 0
    /// Bytes that came, ever.
    package var bytes: UInt64 = 0
    /// When the next request is due, on the guest's clock.
    var nextRequest: UInt64 = 0
    /// The kernel's random counter: every answer is mixed into it.
    package var pool: UInt64 = 0

    package var phase: Phase {
        get { Phase(rawValue: phaseWord) ?? .gone }
        set { phaseWord = newValue.rawValue }
    }
}

extension Kernel {
    package var entropyRecord: EntropyRecord {
        get { memory.load(at: KernelLayout.entropyRecordOffset) }
        set { memory.store(newValue, at: KernelLayout.entropyRecordOffset) }
    }

    var entropyLayout: VirtqueueLayout {
        VirtqueueLayout(size: KernelLayout.entropyRingSize, contiguousAt: physicalAddress(KernelLayout.entropyRingOffset))
    }

    /// The CRC-32C of the buffer.
    func entropyChecksum() -> UInt32 {
        memory.checksum(at: KernelLayout.entropyBufferOffset, byteCount: KernelLayout.entropyBufferBytes)
    }

    /// What the driver's record, its ring and its buffer say about each other while the guest stands; empty where they agree.
    func entropyFaults() -> [String] {
        let record = entropyRecord
        guard record.phase == .live else { return [] }
        do throws(AccessError) {
            let layout = entropyLayout
            let available = try memory.ram.loadAcquire(at: GuestAddress(layout.driverArea.rawValue + 2))
            let used = try memory.ram.loadAcquire(at: GuestAddress(layout.deviceArea.rawValue + 2))
            let (requests, answers) = (UInt16(truncatingIfNeeded: record.requests), UInt16(truncatingIfNeeded: record.answers))
            guard requests == available, requests &- answers <= 1, used == answers || used == requests else {
                return ["\(record.requests) random number requests and \(record.answers) answers, the ring says \(available) and \(used)"]
            }
            // The device fills the buffer and gives it back in one step: before that, it is as the last answer left it.
            if used == answers, record.answers > 0, entropyChecksum() != record.checksum {
                return ["the random number buffer is not what the last answer left in it"]
            }
            return []
        } catch {
            return ["\(error)"]
        }
    }
}

import AerostatEntropy
import AerostatGuestMemory
import AerostatVirtio

/// The driver side of virtio-rng: it seeds the kernel's random counter, and does so again every quarter of a second.
///
/// Like the balloon driver it has no state but `EntropyRecord` and the ring's, both in guest RAM: each call of `step` goes on where the
/// last one stopped, in whatever process.
struct EntropyDriver: Sendable {
    let kernel: Kernel
    let transport: VirtioMMIOTransport

    private static let intervalNanoseconds: UInt64 = 250_000_000
    /// A clock that a peer sent may lag behind the record; nothing waits for longer than this because of it.
    private static let maximumWaitNanoseconds: UInt64 = 1_000_000_000
    private static let token: UInt64 = 0x726E67

    /// Finds the device, negotiates, and sets its queue up.
    func probe() {
        let old = kernel.entropyRecord
        var record = EntropyRecord()
        (record.bytes, record.pool) = (old.bytes, old.pool)
        defer { kernel.entropyRecord = record }
        record.phase = .gone
        guard transport.holds(deviceID: EntropyDevice.deviceID) else { return }
        let features: VirtioFeatures = [.version1, .eventIndex]
        guard transport.negotiate(features), isRingTaken(), let ring = try? ring(features) else {
            transport.write(.status, VirtioMMIO.Status.failed)
            return
        }
        ring.format()
        _ = ring.setInterrupts(enabled: true)
        transport.setUp(queue: 0, kernel.entropyLayout)
        transport.driverOK()
        record.phase = .live
        record.features = features.rawValue
    }

    private func isRingTaken() -> Bool {
        transport.write(.queueSelect, 0)
        return transport.read(.queueSizeMaximum) >= UInt32(KernelLayout.entropyRingSize)
    }

    private func ring(_ features: VirtioFeatures) throws(VirtqueueError) -> SplitVirtqueueDriver {
        let state = kernel.physicalAddress(KernelLayout.entropyRingStateOffset)
        return try SplitVirtqueueDriver(kernel.memory.ram, kernel.entropyLayout, stateAddress: state, features: features)
    }

    /// Takes an answer, if there is one, and asks again when it is time.
    /// - Returns: when it is to be called again, on the guest's clock, if no interrupt comes before; `.max` waits for the interrupt.
    func step(now: UInt64) throws(KernelPanic) -> UInt64 {
        var record = kernel.entropyRecord
        guard record.phase == .live else { return .max }
        defer { kernel.entropyRecord = record }
        let reasons = transport.read(.interruptStatus)
        if reasons != 0 { transport.write(.interruptAcknowledge, reasons) }
        if transport.read(.status) & VirtioMMIO.Status.needsReset != 0 {
            record.phase = .gone
            return .max
        }
        do throws(VirtqueueError) {
            let ring = try ring(VirtioFeatures(rawValue: record.features))
            if let (token, length) = try ring.popUsed() { try take(token, length, &record) }
            guard record.requests == record.answers else { return .max }
            guard record.nextRequest <= now else { return min(record.nextRequest, now &+ Self.maximumWaitNanoseconds) }
            let buffer = VirtqueueSegment(
                address: kernel.physicalAddress(KernelLayout.entropyBufferOffset),
                length: UInt32(KernelLayout.entropyBufferBytes),
                isWritable: true
            )
            guard ring.add([buffer], token: Self.token) else { throw .notOutstanding(id: 0) }
            record.requests &+= 1
            record.nextRequest = now &+ Self.intervalNanoseconds
            if ring.kickNeeded() { transport.write(.queueNotify, 0) }
            return .max
        } catch {
            throw KernelPanic("the random number driver's ring: \(error)")
        }
    }

    private func take(_ token: UInt64, _ length: UInt32, _ record: inout EntropyRecord) throws(VirtqueueError) {
        guard token == Self.token, record.answers < record.requests, length <= UInt32(KernelLayout.entropyBufferBytes) else {
            throw .notOutstanding(id: UInt32(truncatingIfNeeded: token))
        }
        record.answers &+= 1
        record.bytes &+= UInt64(length)
        let words: [UInt64] = (0..<Int(length) / 8).map { kernel.memory.load(at: KernelLayout.entropyBufferOffset + 8 * $0) }
        record.pool = words.reduce(record.pool) { PageContent.mix($0 ^ $1) }
        record.checksum = kernel.entropyChecksum()
    }
}

import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio

// A hint round: start(id), blocks, stop. The word in configuration space controls it: a new id begins a round, STOP ends it and keeps the
// blocks held, DONE gives them back.
extension BalloonDriver {
    /// Takes one step, and writes the record back to RAM before it notifies the device.
    func advance(_ record: inout DriverRecord, _ ring: SplitVirtqueueDriver) throws(KernelPanic) -> Next {
        defer { kernel.driverRecord = record }
        try reap(&record, ring)
        switch record.round {
        case .idle:
            let seen = CommandID(rawValue: record.seenID)
            if seen == .done, try giveBack() { return .again }
            if behaviour == .staleID, seen.rawValue < CommandID.minimum.rawValue, record.activeID != 0 {
                // Then it would also answer a command that has the previous id.
                (record.previousID, record.activeID) = (record.activeID, 0)
            }
            guard seen.rawValue >= CommandID.minimum.rawValue, record.seenID != record.activeID, behaviour != .silent else {
                return .sleepUntilInterrupt
            }
            if record.activeID != 0 { record.previousID = record.activeID }
            record.activeID = record.seenID
            record.round = .starting
            return .again
        case .starting:
            if record.seenID != record.activeID {
                record.round = .idle
                return .again
            }
            // The buffer holds one id. If the device has not read the previous start, writing a new id would put old blocks under the new
            // id.
            guard record.startIsOut == 0 else { return sleepUnlessUsed(ring) }
            guard send(command: answerID(record), from: KernelLayout.startCommandOffset, .start, ring) else { return sleepUnlessUsed(ring) }
            record.startIsOut = 1
            record.rounds &+= 1
            record.round = .reporting
            return .again
        case .reporting:
            if record.seenID == record.activeID {
                let reported = try report(&record, ring)
                if behaviour == .reloading, record.rounds % 4 != 0 {
                    // Unloads the driver in the middle of a round and loads it again. As in Linux, the driver first gives back what it
                    // holds and then resets the device, which may still be reading its hints.
                    try kernel.ask(.rebind)
                    return .again
                }
                switch reported {
                case .more: return .again
                case .ringFull: return sleepUnlessUsed(ring, chains: max(1, ring.layout.size / 4 * 3))
                case .startIsOut: return sleepUnlessUsed(ring)
                case .nothingLeft: break
                }
            }
            record.round = .stopping
            return .again
        case .stopping:
            guard send(command: CommandID.stop.rawValue, from: KernelLayout.stopCommandOffset, .stop, ring) else {
                return sleepUnlessUsed(ring)
            }
            record.round = .idle
            return .again
        }
    }

    private func answerID(_ record: DriverRecord) -> UInt32 {
        switch behaviour {
        case .wrongID: record.activeID ^ 0x5A5A_0000
        case .staleID where record.previousID != 0: record.previousID
        default: record.activeID
        }
    }

    /// Takes back what the device has returned. The number of queued chains bounds it.
    private func reap(_ record: inout DriverRecord, _ ring: SplitVirtqueueDriver) throws(KernelPanic) {
        for _ in 0..<Int(ring.layout.size) {
            guard ring.freeDescriptors <= Int(ring.layout.size) else {
                throw KernelPanic("the balloon driver's ring has more free descriptors than descriptors")
            }
            do throws(VirtqueueError) {
                guard let used = try ring.popUsed() else { break }
                if used.token == Token.start.rawValue { record.startIsOut = 0 }
            } catch {
                throw KernelPanic("the balloon driver's ring: \(error)")
            }
        }
        _ = ring.setInterrupts(enabled: false)
    }

    private func send(command: UInt32, from offset: Int, _ token: Token, _ ring: SplitVirtqueueDriver) -> Bool {
        guard ring.freeDescriptors > 0 else { return false }
        kernel.memory.store(command, at: offset)
        let segment = VirtqueueSegment(address: kernel.physicalAddress(offset), length: 4, isWritable: false)
        guard ring.add([segment], token: token.rawValue) else { return false }
        kick(ring)
        return true
    }

    /// Sleeps until the device has returned this many chains, unless it already has.
    private func sleepUnlessUsed(_ ring: SplitVirtqueueDriver, chains: UInt16 = 1) -> Next {
        ring.enableInterrupt(after: chains) ? .again : .sleepUntilInterrupt
    }

    private func kick(_ ring: SplitVirtqueueDriver) {
        if ring.kickNeeded() {
            transport.write(.queueNotify, BalloonQueue.freePageHint.index(VirtioFeatures(rawValue: kernel.driverRecord.features)))
        }
    }

    private enum Reported { case more, ringFull, startIsOut, nothingLeft }

    /// Holds and queues the next blocks. One descriptor stays free for the stop command.
    private func report(_ record: inout DriverRecord, _ ring: SplitVirtqueueDriver) throws(KernelPanic) -> Reported {
        // These drivers wait until the device has read the start and sleeps again, or until all descriptors are free.
        if behaviour == .slow || behaviour == .indexJump, record.startIsOut == 1 { return .startIsOut }
        guard behaviour.isTruthful || behaviour == .staleID && record.previousID == 0 else {
            reportLies(&record, ring)
            return .nothingLeft
        }
        defer {
            if behaviour == .slow {
                // Up to 128 ms.
                HostThread.sleep(for: .milliseconds(1 << (PageContent.mix(kernel.parameters.seed &+ record.rounds) % 8)))
            }
            kick(ring)
        }
        // A block that must be cleared first takes longer.
        for _ in 0..<(kernel.parameters.clearsAllocated ? 1 : Self.blocksPerStep) {
            guard ring.freeDescriptors > 1 else { return .ringFull }
            // Held and queued under one lock, so that the shrinker never uses a block before its hint is queued.
            let queued = try kernel.locked { () throws(KernelPanic) in
                guard let block = try kernel.holdBlock() else { return false }
                let address = kernel.physicalAddress(block << (KernelLayout.topOrder + GuestPage.shift))
                let segment = VirtqueueSegment(address: address, length: Self.topBlockBytes, isWritable: true)
                guard ring.add([segment], token: Token.block.rawValue) else {
                    throw KernelPanic("the balloon driver's ring lost its free descriptors")
                }
                return true
            }
            guard queued else { return .nothingLeft }
            record.reportedBlocks &+= 1
        }
        return .more
    }

    /// Gives some of the held blocks back to the allocator.
    /// - Returns: whether there may be more.
    func giveBack() throws(KernelPanic) -> Bool {
        try kernel.locked { () throws(KernelPanic) in
            for _ in 0..<Self.blocksPerStep {
                guard try kernel.returnHeldBlock() else { return false }
            }
            return true
        }
    }
}

import AerostatBalloon
import AerostatGuestMemory
public import AerostatMigration
import AerostatVirtio

/// What may happen to the balloon driver, or to the whole guest, at any time.
public enum BalloonDriverRequest: UInt32, CaseIterable, Hashable, Sendable {
    /// The guest is suspended. The driver empties the balloon, gives back the blocks held for hints, and resets the device.
    case suspend = 1
    /// The guest wakes up.
    case resume = 2
    /// The driver is unloaded. It does the same as for `suspend`.
    case unbind = 3
    /// The driver is loaded.
    case bind = 4
    /// `unbind` and `bind`.
    case rebind = 5
    /// `suspend` and `resume`.
    case nap = 6
    /// The guest reboots, and finds the device as firmware would: the balloon is not emptied, the device is reset, and all of the
    /// balloon's pages are used again.
    case reboot = 7
}

extension Kernel {
    /// Asks the driver's thread for something. This replaces a request that has not begun.
    func ask(_ request: BalloonDriverRequest) throws(KernelPanic) {
        try locked { balloonSignals.request = request.rawValue }
        wakeWorker()
    }

    /// The request that the driver has not carried out yet.
    package var pendingRequest: BalloonDriverRequest? {
        BalloonDriverRequest(rawValue: balloonSignals.request) ?? BalloonDriverRequest(rawValue: balloonRecord.request)
    }
}

extension ModelGuest {
    /// Asks the guest's balloon driver for something. It does so when the guest runs.
    /// - Throws: if there is no guest here yet.
    public func ask(balloonDriver request: BalloonDriverRequest) throws(GuestError) {
        guard let kernel else { throw GuestError("the guest has no memory content to run yet") }
        do throws(KernelPanic) { try kernel.ask(request) } catch { throw GuestError("\(error)") }
    }
}

extension BalloonDriver {
    /// Does one step of the request.
    /// - Returns: what comes next; `nil` if the driver goes on with its usual work.
    func serveRequest(_ record: inout DriverRecord, _ now: UInt64) throws(KernelPanic) -> Next? {
        guard let request = try takeRequest(record) else { return nil }
        switch request {
        case .bind, .resume:
            try probe(now: now, wakes: request == .resume)
            return .again
        case .reboot:
            // The device is reset first. From then on the pages belong to the guest.
            transport.write(.status, 0)
            return try setAside(&record, now, .reboot)
        case .suspend, .unbind, .rebind, .nap:
            if record.phase == .live { return try windDown(&record, request, now) }
            transport.write(.status, 0)
            return try setAside(&record, now, request)
        }
    }

    /// Takes the request, if it fits: only a driver that is away can be loaded or resumed, and only one that is there can be unloaded or
    /// suspended.
    private func takeRequest(_ record: DriverRecord) throws(KernelPanic) -> BalloonDriverRequest? {
        var balloon = kernel.balloonRecord
        if let request = BalloonDriverRequest(rawValue: balloon.request) { return request }
        let asked = try kernel.locked { () -> UInt32 in
            let asked = kernel.balloonSignals.request
            if asked != 0 { kernel.balloonSignals.request = 0 }
            return asked
        }
        guard let request = BalloonDriverRequest(rawValue: asked) else { return nil }
        switch request {
        case .resume: guard record.phase == .suspended else { return nil }
        case .bind: guard record.phase == .unbound else { return nil }
        case .suspend, .unbind, .rebind, .nap: guard record.phase == .live || record.phase == .gone else { return nil }
        case .reboot: break
        }
        // `resume` and `bind` take one step. The others take many.
        if request != .resume, request != .bind {
            balloon.request = request.rawValue
            kernel.balloonRecord = balloon
        }
        return request
    }

    /// Empties the balloon, and waits for the buffers that the device has.
    private func windDown(_ record: inout DriverRecord, _ request: BalloonDriverRequest, _ now: UInt64) throws(KernelPanic) -> Next {
        if record.round != .idle || record.seenID != CommandID.done.rawValue {
            // Any hint round is over, whatever its stage.
            record.round = .idle
            record.seenID = CommandID.done.rawValue
            kernel.driverRecord = record
        }
        let reasons = transport.read(.interruptStatus)
        if reasons != 0 { transport.write(.interruptAcknowledge, reasons) }
        if transport.read(.status) & VirtioMMIO.Status.needsReset != 0 {
            record.phase = .gone
            kernel.driverRecord = record
            return .again
        }
        if try giveBack() { return .again }
        var balloon = kernel.balloonRecord
        var next = try advanceBalloon(&balloon, &record, now)
        next = next.or(try advanceReporting(&balloon, record, now))
        kernel.balloonRecord = balloon
        let isEmpty = try kernel.locked { kernel.balloonLists.pages.blocks == 0 && kernel.balloonLists.leaving.blocks == 0 }
        guard balloon.operation == .none, balloon.reportIsOut == 0, isEmpty else { return next }
        try writeActual()
        transport.write(.status, 0)
        return try setAside(&record, now, request)
    }

    /// Called after the device's reset, when it has no buffers any more. Frees the rest of the balloon if it was not emptied, and ends the
    /// request.
    private func setAside(_ record: inout DriverRecord, _ now: UInt64, _ request: BalloonDriverRequest) throws(KernelPanic) -> Next {
        if try giveBack() { return .again }
        if try kernel.locked({ () throws(KernelPanic) in try kernel.abandonBalloon() }) { return .again }
        let features = record.features
        record = DriverRecord(keeping: record)
        record.features = features
        record.phase = request == .suspend || request == .nap ? .suspended : .unbound
        kernel.driverRecord = record
        let random = kernel.balloonRecord.random
        kernel.balloonRecord = BalloonRecord()
        kernel.balloonRecord.random = random
        try kernel.locked {
            kernel.balloonSignals = BalloonSignals(request: kernel.balloonSignals.request)
            switch request {
            case .suspend, .nap: kernel.driverCounters.suspensions &+= 1
            case .reboot: kernel.driverCounters.reboots &+= 1
            default: kernel.driverCounters.rebinds &+= 1
            }
        }
        switch request {
        case .rebind, .reboot: try probe(now: now)
        case .nap: try probe(now: now, wakes: true)
        default: break
        }
        return .again
    }

    /// Makes a request now and then, if the guest was configured for it.
    func disturb(_ balloon: inout BalloonRecord, _ now: UInt64) -> Next {
        guard let interval = kernel.parameters.disturbanceInterval else { return .sleepUntilInterrupt }
        guard balloon.disturbAt <= now else {
            balloon.disturbAt = min(balloon.disturbAt, now &+ interval)
            return .sleep(until: balloon.disturbAt)
        }
        balloon.disturbAt = now &+ interval
        var random = SplitMix(state: balloon.random)
        balloon.request = [BalloonDriverRequest.rebind, .nap, .reboot].randomElement(using: &random)!.rawValue
        balloon.random = random.state
        return .again
    }
}

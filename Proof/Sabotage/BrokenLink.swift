#if BrokenEngines
    import AerostatGuestMemory
    import AerostatHost
    import AerostatMigration

    /// A link that forwards everything.
    class ForwardingLink: Transport {
        let base: any Transport

        init(_ base: any Transport) { self.base = base }

        var canSend: Bool { base.canSend }
        var hasSentAll: Bool { base.hasSentAll }
        var bytesSent: Int { base.bytesSent }
        var bytesReceived: Int { base.bytesReceived }
        var bytesMoved: Int { base.bytesMoved }
        var hasReceivedPages: Bool { base.hasReceivedPages }
        var isDisk: Bool { base.isDisk }
        var switchOverCost: Duration { base.switchOverCost }
        var waitingFor: String? { base.waitingFor }
        var pageCount: Int {
            get { base.pageCount }
            set { base.pageCount = newValue }
        }

        func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) { try base.send(frame, from: memory) }
        func takeFrame() throws(TransportError) -> Frame? { try base.takeFrame() }
        func receivePages(_ runs: [PageRun], into memory: GuestRAM) throws(TransportError) { try base.receivePages(runs, into: memory) }
        func discardIncoming(until deadline: ContinuousClock.Instant) { base.discardIncoming(until: deadline) }
        func wait(until deadline: ContinuousClock.Instant?) throws(TransportError) { try base.wait(until: deadline) }
    }

    /// The source's link. It knows how far the migration is and what was read.
    final class BrokenLink: ForwardingLink {
        private let source: BrokenSource

        init(_ source: BrokenSource) {
            self.source = source
            super.init(source.link)
        }

        override var hasSentAll: Bool {
            guard base.hasSentAll else { return false }
            for run in source.unsent { source.memory.writeLog.remove(run) }
            source.unsent = []
            return true
        }

        override func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
            source.stopIfDue()
            switch (source.engine, frame) {
            case (.appliesHintLate, .runs), (.appliesHintLate, .roundBegin): source.applyLate()
            case (.believesSurvey, .roundBegin(1)): source.believeSurvey()
            case (.sendsBallooned, .roundBegin(1)): source.sendEverything()
            case (.clearsAfterReading, .runs(let runs, _)): source.unsent += runs.filter { $0.kind != .free }.map(\.run)
            case (_, .commit): source.hasSentCommit = true
            default: break
            }
            try super.send(frame, from: memory)
        }

        override func takeFrame() throws(TransportError) -> Frame? {
            let frame = try super.takeFrame()
            if case .running? = frame { source.hasHeardRunning = true }
            return frame
        }
    }

    final class BrokenDestinationLink: ForwardingLink {
        private let engine: BrokenEngine
        var guest: (any Guest)?

        init(_ engine: BrokenEngine, _ base: any Transport) {
            self.engine = engine
            super.init(base)
        }

        override func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
            if engine == .runsBeforeCommit, case .ready = frame { try? guest?.resume() }
            try super.send(frame, from: memory)
        }

        override func takeFrame() throws(TransportError) -> Frame? {
            let frame = try super.takeFrame()
            guard engine == .keepsFreePages, case .runs(let runs, let round)? = frame else { return frame }
            return .runs(runs.filter { $0.kind != .free }, round: round)
        }
    }
#endif

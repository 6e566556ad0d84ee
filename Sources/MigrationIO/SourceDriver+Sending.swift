import AerostatGuestMemory
import AerostatHost
import AerostatMigration

// How a page leaves: taken from the ledger, examined, described, handed to the link.
extension SourceDriver {
    /// Pages in one frame: 8 MiB, four huge pages. Fewer under a bandwidth limit, so that the limit holds in every 20 ms.
    private var pagesPerFrame: Int {
        guard let limit = session.parameters.bandwidthLimit else { return 2048 }
        return max(1, min(2048, limit / 50 / GuestPage.size))
    }

    /// Hands a frame to the link as soon as the link accepts one.
    func send(_ frame: Frame) throws(Interruption) {
        try wait { () throws(Interruption) in link.canSend }
        do throws(TransportError) { try link.send(frame, from: memory) } catch { throw Interruption(link: error) }
    }

    /// Sends everything that is pending, then tells the destination what is free, and waits until all of it has left.
    ///
    /// If a timeout ends the round, what had left is recorded nevertheless, so that the totals are the sums over the rounds.
    /// - Parameter maximumData: ends it early, once this many pages with data, or sixteen times as many zero pages, were sent.
    func sendPending(round: Int, isPaced: Bool, maximumData: Int = .max) throws(Interruption) -> SourceSession.RoundTraffic {
        var sent = SourceSession.RoundTraffic()
        let start = clock()
        let bytesBefore = link.bytesSent
        func measure() {
            sent.duration = start.duration(to: clock())
            sent.bytes = link.bytesSent - bytesBefore
            let counts = ledger.counts
            sent.clearedPages = max(0, counts.skipped - skippedAtRoundStart)
            sent.pendingPages = counts.pending
        }
        do throws(Interruption) {
            try sendAllPending(round: round, isPaced: isPaced, maximumData: maximumData, &sent)
        } catch {
            measure()
            throw error.interrupting(sent)
        }
        measure()
        return sent
    }

    private func sendAllPending(
        round: Int,
        isPaced: Bool,
        maximumData: Int,
        _ sent: inout SourceSession.RoundTraffic
    ) throws(Interruption) {
        let limit = isPaced ? session.parameters.bandwidthLimit : nil
        let pages = min(isPaced ? pagesPerFrame : 2048, maximumData)
        var cursor = PageIndex(0)
        var runs: [PageRun] = []
        var more = true
        while more, sent.normalPages < maximumData, sent.zeroPages / 16 < maximumData {
            more = ledger.takeBatch(from: &cursor, maximumPages: pages, maximumRuns: RunDescriptor.maximumCount, into: &runs)
            if !runs.isEmpty { try sendTaken(runs, round: round, limit: limit, &sent) }
            try checkRequests()
        }
        cursor = PageIndex(0)
        more = true
        while more {
            more = ledger.takeFreeRuns(from: &cursor, maximumRuns: RunDescriptor.maximumCount, into: &runs)
            if !runs.isEmpty {
                var unsent = runs.map { RunDescriptor(.free, $0) }[...]
                do throws(Interruption) { try sendBatch(&unsent, round: round, limit: limit, &sent) } catch {
                    ledger.withdraw(unsent.map(\.run))
                    throw error
                }
            }
            try checkRequests()
        }
        try wait { () throws(Interruption) in link.hasSentAll }
    }

    /// Sends a batch that the ledger gave out. A timeout may end the round in the middle of it; what did not leave becomes pending again.
    private func sendTaken(
        _ runs: [PageRun],
        round: Int,
        limit: Int?,
        _ sent: inout SourceSession.RoundTraffic
    ) throws(Interruption) {
        var unsent: ArraySlice<RunDescriptor>?
        do throws(Interruption) {
            var descriptors = try describe(runs)[...]
            defer { unsent = descriptors }
            try sendBatch(&descriptors, round: round, limit: limit, &sent)
        } catch {
            #if BrokenEngines
                if BrokenEngine.isActive(.forgetsInterruptedBatch) { throw error }
            #endif
            ledger.giveBack(unsent?.map(\.run) ?? runs)
            throw error
        }
    }

    /// One round while the guest runs. It ends when the destination has applied it. Otherwise the guest's pause would include what still
    /// lay in socket buffers, and the link would look faster than it is.
    func sendRound(_ round: Int, maximumData: Int = .max) throws(Interruption) -> SourceSession.RoundTraffic {
        let start = clock()
        var sent = try sendPending(round: round, isPaced: true, maximumData: maximumData)
        do throws(Interruption) {
            try send(.roundEnd(UInt32(round)))
            try awaitAcknowledgement(of: round)
        } catch {
            throw error.interrupting(sent)
        }
        sent.linkCost = link.switchOverCost
        sent.duration = start.duration(to: clock()) - sent.linkCost
        return sent
    }

    /// A slow link, or a tunnel with large buffers, may take as long as it needs. Only silence counts.
    private func awaitAcknowledgement(of round: Int) throws(Interruption) {
        let limit = migration.limits.ready
        let came = try wait(silence: link.isDisk ? nil : limit) { () throws(Interruption) in acknowledgedRound >= round }
        guard came else {
            let silence = "nothing moved for \(Int(limit.inSeconds)) s"
            throw Interruption(.failed(.link("the destination did not acknowledge round \(round): \(silence)")))
        }
    }

    /// Splits runs into data and zero runs by examining each page. The pages are already out of the pending set: if one is written while it
    /// is examined, or later while the kernel reads it, the next harvest finds it.
    private func describe(_ runs: [PageRun]) throws(Interruption) -> [RunDescriptor] {
        let nonexistent = try nonexistent(in: runs)
        let anyNonexistent = !nonexistent.isEmpty
        func kindOf(_ page: PageIndex) -> RunDescriptor.Kind {
            anyNonexistent && nonexistent.contains(page) || memory.isZero(page) ? .zero : .data
        }
        var descriptors: [RunDescriptor] = []
        descriptors.reserveCapacity(runs.count + 8)
        for run in runs.flatMap(memory.contiguousParts) {
            var start = run.first
            var kind = kindOf(start)
            for index in run.indices.dropFirst() {
                let page = PageIndex(index)
                let next = kindOf(page)
                guard next != kind else { continue }
                descriptors.append(RunDescriptor(kind, PageRun(first: start, count: index - start.rawValue)))
                (start, kind) = (page, next)
            }
            descriptors.append(RunDescriptor(kind, PageRun(first: start, count: run.end.rawValue - start.rawValue)))
        }
        return descriptors
    }

    /// - Parameter unsent: its first descriptors are removed as they are handed to the link.
    private func sendBatch(
        _ unsent: inout ArraySlice<RunDescriptor>,
        round: Int,
        limit: Int?,
        _ sent: inout SourceSession.RoundTraffic
    ) throws(Interruption) {
        while !unsent.isEmpty {
            let frame = Array(unsent.prefix(RunDescriptor.maximumCount))
            if limit != nil {
                let due = nextSend
                try wait(until: due) { () throws(Interruption) in false }
            }
            try send(.runs(frame, round: UInt32(round)))
            unsent = unsent.dropFirst(frame.count)
            var bytes = FrameHeader.byteCount
            for descriptor in frame {
                bytes += RunDescriptor.byteCount
                switch descriptor.kind {
                case .data:
                    sent.normalPages += descriptor.run.count
                    traffic.normalPages += descriptor.run.count
                    bytes += descriptor.run.byteCount
                    _ = ledger.takeReused(in: descriptor.run)
                case .zero:
                    sent.zeroPages += descriptor.run.count
                    traffic.zeroPages += descriptor.run.count
                    traffic.zeroedPages += ledger.takeReused(in: descriptor.run)
                    ledger.noteCleared(descriptor.run)
                case .free:
                    sent.freePages += descriptor.run.count
                    traffic.freePages += descriptor.run.count
                    ledger.noteCleared(descriptor.run)
                }
            }
            if let limit {
                nextSend = max(nextSend, clock()) + .seconds(fromRate: Double(bytes) / Double(limit))
            }
        }
    }

    /// Sends what follows the last pages: device state, digests if requested, the switchover. Then waits for the destination's ready.
    func sendState(verifies: Bool, guestRuns: Bool) throws(Interruption) -> Ready {
        let sections: [DeviceSection]
        do throws(GuestError) { sections = try guest.saveDeviceState() } catch { throw Interruption(guest: error) }
        precondition(sections.count <= DeviceSection.maximumCount, "too many device sections")
        for section in sections { try send(.deviceState(section)) }
        if verifies { try sendDigests() }
        try checkNothingIsPending()
        try send(.switchover(sections: sections.count, guestRuns: guestRuns))
        let limit = migration.limits.ready + .seconds(verifies ? 1 + memory.pageCount >> 18 : 0)
        return try receive("ready", within: limit) { if case .ready(let ready) = $0 { ready } else { nil } }
    }

    /// Sends digests of every page that exists here and is not free. The destination checks that all other pages are zero.
    private func sendDigests() throws(Interruption) {
        scratch.removeAll()
        do throws(SystemError) { try memory.insertPresentPages(into: scratch) } catch { throw Interruption(guest: error) }
        var position = PageIndex(0)
        while position.rawValue < memory.pageCount {
            let (run, next) = scratch.nextRun(from: position, maximumPages: DigestRun.maximumCount)
            position = next
            // Digesting is slower than the link, so the link never makes the driver wait, and requests must be checked here.
            try checkRequests()
            guard let run else { continue }
            var first = run.first
            while first < run.end {
                if ledger.isFree(first) {
                    first = first + 1
                    continue
                }
                var digests: [UInt64] = []
                var page = first
                while page < run.end, !ledger.isFree(page) {
                    digests.append(memory.digest(page))
                    page = page + 1
                }
                try send(.digests(DigestRun(first: first, digests: digests)))
                first = page
            }
        }
        scratch.removeAll()
    }
}

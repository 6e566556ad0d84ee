import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import TestSupport
import Testing

/// A paused guest does not wait for a disk that hangs.
@Suite struct HungDiskTests {
    private let folder: TestFolder

    init() throws { folder = try TestFolder() }

    /// A disk call that hangs until the gate is opened.
    private final class Gate: Sendable {
        private let state = Monitor((isReached: false, isOpen: false))

        /// - Returns: after the gate was opened.
        func pass() {
            state.update { $0.isReached = true }
            _ = state.wait { $0.isOpen ? true : nil }
        }

        func open() { state.update { $0.isOpen = true } }

        /// Waits until the call hangs.
        func awaitCall() throws {
            let isReached = state.wait(until: MonotonicClock.now() + .seconds(10)) { $0.isReached ? true : nil }
            try #require(isReached == true, "the call was never made")
        }
    }

    private func start(_ calls: FileCalls, farewell: Duration = .milliseconds(50)) throws -> Pair {
        var setup = Pair.Setup(filled: 0..<300)
        setup.limits.farewell = farewell
        let pair = try Pair(setup)
        let path = folder["image"]
        try pair.migration.start { (doorbell) throws(TransportError) in try makeFileTransport(path, doorbell: doorbell, calls: calls) }
        return pair
    }

    private func expectEmptyFolder() throws {
        let deadline = MonotonicClock.now() + .seconds(10)
        while !folder.entries.isEmpty, MonotonicClock.now() < deadline { HostThread.sleep(for: .milliseconds(5)) }
        #expect(folder.entries == [])
    }

    /// Hangs when the file gets its full length, because the guest is paused then; or when it gets its first length.
    private func hangingLength(_ gate: Gate, call: Int) -> FileCalls {
        let count = Locked(0)
        var calls = FileCalls.system
        calls.setLength = { number, byteCount in
            if count.withLock({
                $0 += 1; return $0
            }) == call {
                gate.pass()
            }
            return ftruncate(number, byteCount)
        }
        return calls
    }

    /// Fails when the file gets its full length.
    private var failingLength: FileCalls {
        let count = Locked(0)
        var calls = FileCalls.system
        calls.setLength = { number, byteCount in
            if count.withLock({
                $0 += 1; return $0
            }) < 2 {
                return ftruncate(number, byteCount)
            }
            errno = EFBIG
            return -1
        }
        return calls
    }

    @Test(arguments: [1, 2]
    )
    func `When the disk hangs before the rename, a cancellation lets the guest run while the call still hangs`(call: Int) throws {
        let gate = Gate()
        let pair = try start(hangingLength(gate, call: call))
        defer { pair.end() }
        try gate.awaitCall()
        if call == 2 { #expect(!pair.source.isRunning) }
        pair.migration.cancel()
        guard case .cancelled = pair.migration.wait() else {
            Issue.record("\(pair.migration.report)")
            return
        }
        expectGuestIsHere(pair)
        gate.open()
        try expectEmptyFolder()
    }

    @Test func `When the disk hangs while it removes the partial file, the guest runs`() throws {
        let gate = Gate()
        var calls = failingLength
        calls.unlink = { path in
            gate.pass()
            return unsafe Glibc.unlink(path)
        }
        let pair = try start(calls)
        defer { pair.end() }
        try gate.awaitCall()
        guard case .failed = pair.migration.wait() else {
            Issue.record("\(pair.migration.report)")
            return
        }
        expectGuestIsHere(pair)
        #expect(folder.entries == ["image.partial"])
        gate.open()
        try expectEmptyFolder()
    }

    @Test func `If the disk does not hang, no file is left when the end is reported`() throws {
        var calls = failingLength
        calls.unlink = { path in
            HostThread.sleep(for: .milliseconds(50))
            return unsafe Glibc.unlink(path)
        }
        let pair = try start(calls, farewell: .seconds(5))
        defer { pair.end() }
        guard case .failed = pair.migration.wait() else {
            Issue.record("\(pair.migration.report)")
            return
        }
        #expect(folder.entries == [])
    }

    @Test
    func `When the disk hangs in the rename, the owner is undecided until it answers, and the report says what is waited for`()
        throws
    {
        let gate = Gate()
        var calls = FileCalls.system
        calls.rename = { from, to in
            gate.pass()
            return unsafe Glibc.rename(from, to)
        }
        let pair = try start(calls)
        defer { pair.end() }
        try gate.awaitCall()
        pair.migration.cancel()
        let deadline = MonotonicClock.now() + .seconds(10)
        while pair.migration.report.waitingFor == nil, MonotonicClock.now() < deadline { HostThread.sleep(for: .milliseconds(10)) }
        #expect(pair.migration.report.waitingFor?.contains("to rename \(folder["image"]).partial") == true)
        #expect(pair.migration.outcome == nil && !pair.source.isRunning)
        gate.open()
        #expect(pair.migration.wait() == .completed)
        #expect(pair.migration.report.waitingFor == nil && !pair.source.isRunning && folder.entries == ["image"])
    }

    private enum Fate: CaseIterable { case happened, didNotHappen, somebodyElses }

    @Test(arguments: Fate.allCases)
    private func `After a failed rename the file names decide where the guest is, else it stays paused`(_ fate: Fate) throws {
        var calls = FileCalls.system
        calls.rename = { from, to in
            switch fate {
            case .happened: _ = unsafe Glibc.rename(from, to)
            case .didNotHappen: break
            case .somebodyElses: _ = unsafe Glibc.rename(from, to + ".elsewhere")
            }
            errno = ENOENT
            return -1
        }
        let pair = try start(calls)
        defer { pair.end() }
        let outcome = pair.migration.wait()
        switch (fate, outcome) {
        case (.happened, .completed): #expect(!pair.source.isRunning && folder.entries == ["image"])
        case (.didNotHappen, .failed(.notCommitted)):
            expectGuestIsHere(pair)
            #expect(folder.entries == [])
        case (.somebodyElses, .unknown(let reason)):
            #expect(reason.contains("unknown whether") && !pair.source.isRunning && folder.entries == ["image.elsewhere"])
        default: Issue.record("\(fate): \(outcome)")
        }
    }
}

import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import TestSupport
import Testing

/// One machine at a time: each has threads of its own, and vCPUs are slow if KVM emulates instructions.
@Suite(.serialized, .enabled(if: MicroVM.unavailability == nil, Comment(rawValue: MicroVM.unavailability ?? "")))
enum MachineTests {}

let kvmTrackers: [TrackerKind] = [.kvmDirtyLog, .kvmDirtyRing, .pagemapScan]

/// A tiny guest in a machine, its output, and how it ended.
final class TinyMachine: Sendable {
    let guest: TinyGuest
    let machine: MicroVM
    let heard: Heard

    final class Heard: Sendable {
        private let state = Monitor((bytes: [UInt8](), endings: [MicroVM.Ending]()))

        var observer: MicroVM.Observer {
            MicroVM.Observer(
                output: { [state] byte in state.update { $0.bytes.append(byte) } },
                ended: { [state] ending in state.update { $0.endings.append(ending) } }
            )
        }

        var endings: [MicroVM.Ending] { state.withLock { $0.endings } }

        /// The next byte of output.
        func nextByte() -> UInt8? {
            state.wait(until: MonotonicClock.now() + .seconds(20)) { $0.bytes.isEmpty ? nil : $0.bytes.removeFirst() }
        }

        func ending() -> MicroVM.Ending? { state.wait(until: MonotonicClock.now() + .seconds(20)) { $0.endings.first } }
    }

    init(_ guest: TinyGuest, tracker: TrackerKind? = nil, running: Bool = true) throws {
        self.guest = guest
        heard = Heard()
        machine = try MicroVM(booting: MicroVMConfiguration(guest), tracker: tracker, observer: heard.observer)
        if running { try machine.resume() }
    }

    /// Wraps a guest that is in a machine already. Its output is not recorded.
    init(_ guest: TinyGuest, in machine: MicroVM) {
        self.guest = guest
        self.machine = machine
        heard = Heard()
    }

    var record: TinyGuest.Record { get throws { try guest.record(in: machine.memory) } }
    var faults: [String] { get throws { try guest.faults(in: machine.memory) } }

    /// Waits until each vCPU has completed some more rounds.
    func run(rounds: UInt64 = 1) throws { try guest.run(machine, rounds: rounds) }
}

extension TinyGuest {
    /// Waits until each vCPU of a running machine has completed some more rounds.
    func run(_ machine: MicroVM, rounds: UInt64 = 1) throws {
        let start = try record(in: machine.memory).progress
        try eventually("the guest does not get on") {
            zip(try record(in: machine.memory).progress, start).allSatisfy { $0.round >= max($1.round, 1) + rounds }
        }
    }
}

/// Waits for something that other threads cause. Gives up after twenty seconds.
func eventually(_ what: Comment, _ condition: () throws -> Bool) throws {
    let deadline = MonotonicClock.now() + .seconds(20)
    while try !condition() {
        guard MonotonicClock.now() < deadline else {
            Issue.record(what)
            return
        }
        HostThread.sleep(for: .milliseconds(1))
    }
}

/// The pages that were written since the last harvest.
func harvest(_ machine: MicroVM) throws -> Set<Int> {
    let dirty = try PageSet(pageCount: machine.memory.pageCount)
    try machine.tracker.harvest(into: dirty)
    var pages: Set<Int> = []
    dirty.forEachRun { pages.formUnion($0.indices) }
    return pages
}

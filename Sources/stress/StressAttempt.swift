import AerostatControl
import AerostatHost
import AerostatMigration
import AerostatQMP
import CommandSupport
import Foundation
import Synchronization

/// One migration: the command, the link, and the injuries to them.
final class StressAttempt: Sendable {
    let hop: StressHop
    let source: StressGuest
    /// `nil` if the guest goes into an image.
    let destination: StressGuest?
    private let link: Monitor<StressLink?>
    private let folder: String
    private let state: Mutex<State>

    private struct State {
        var command: StressChild?
        var fired: [StressInjury] = []
        /// Injuries that wait for their time, and tasks that have begun.
        var timers: [Task<Void, Never>] = []
        var tasks: [Task<Void, any Error>] = []
        var isOver = false
        var wanted: StressWanted
    }

    /// How the migration ended, according to `aerostat migrate`.
    struct Ending {
        let code: Int32
        let report: MigrationReport?
        let text: String
        let fired: [StressInjury]

        func did(_ property: KeyPath<StressInjury.Kind, Bool>) -> Bool { fired.contains { $0.kind[keyPath: property] } }
        func did(_ kinds: StressInjury.Kind...) -> Bool { fired.contains { kinds.contains($0.kind) } }
    }

    init(_ hop: StressHop, from source: StressGuest, to destination: StressGuest?, wanted: StressWanted, in folder: String) {
        self.hop = hop
        self.source = source
        self.destination = destination
        self.folder = folder
        link = Monitor(nil)
        state = Mutex(State(wanted: wanted))
    }

    /// What was granted of the guest's balloon until now.
    var wanted: StressWanted { state.withLock { $0.wanted } }

    /// Runs the command to its end, with all that happens meanwhile.
    /// - Parameter uri: of the destination; the link stands in front of it.
    func run(_ name: String, to uri: String) async throws -> Ending {
        let target = destination == nil ? uri : try makeLink("\(folder)/\(name).link", to: uri)
        let arguments = ["migrate", "--control", source.control, target, "--json"] + hop.arguments
        let command = try StressChild("\(name)-migrate", arguments, in: folder)
        state.withLock { $0.command = command }
        for injury in hop.injuries {
            guard case .time(let milliseconds) = injury.moment else { continue }
            let timer = Task { [self] in
                // If the migration ends earlier, the sleep is cancelled and the injury does not happen.
                guard (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil else { return }
                _ = fire(injury)
            }
            state.withLock { $0.timers.append(timer) }
        }
        for wish in hop.wishes {
            guard let milliseconds = wish.milliseconds else { continue }
            let timer = Task { [self] in
                guard (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil else { return }
                grant(wish)
            }
            state.withLock { $0.timers.append(timer) }
        }
        // Longer than any stall, freeze, timeout and wait for a silent peer together.
        let code = try await command.end(within: .seconds(75))
        let (timers, tasks) = state.withLock { state in
            state.isOver = true
            return (state.timers, state.tasks)
        }
        for timer in timers { timer.cancel() }
        for task in tasks { try await task.value }
        let fired = state.withLock { $0.fired }
        var report = (try? JSONParser.parse(command.output.utf8, limits: .reply)).flatMap { try? MigrationReport(json: $0) }
        var exit = code
        if code == -SIGINT, fired.contains(where: { $0.kind == .interrupt }) {
            // The command was interrupted between its last output and its end. The source knows the outcome.
            let known = try await eventually("the interrupted migration is over") {
                let report = try await self.source.report()
                return report.status.isOver ? report : nil
            }
            (report, exit) = (known, known.status.exitCode)
        }
        return Ending(code: exit, report: report, text: command.output + command.log, fired: fired)
    }

    var reachedDestination: Int { link.withLock { $0?.reachedDestination ?? 0 } }

    /// - Returns: how many bytes passed the link.
    func end() throws -> Int {
        guard let link = link.withLock({ $0 }) else { return 0 }
        if !link.end() { throw StressFind(.hang, "the link's threads do not end") }
        return link.bytes
    }

    private func makeLink(_ path: String, to uri: String) throws -> String {
        let triggers = hop.injuries.compactMap { injury -> StressLink.Trigger? in
            if case .time = injury.moment { return nil }
            return StressLink.Trigger(moment: injury.moment) { [self] in fire(injury) }
        }
        let link = try StressLink(path: hop.route == .unix ? path : nil, to: uri, triggers)
        self.link.update { $0 = link }
        return link.uri
    }

    /// Runs a task to its end, even after the migration's end, so that no process stays stopped.
    private func aside(_ body: @escaping @Sendable () async throws -> Void) {
        let task = Task { try await body() }
        state.withLock { $0.tasks.append(task) }
    }

    /// Carries out an injury, unless the migration is over.
    /// - Returns: what the link must do, for injuries to the link.
    private func fire(_ injury: StressInjury) -> StressLink.Action {
        let command = state.withLock { state -> StressChild? in
            if state.isOver { return nil }
            if injury.kind != .interrupt { state.fired.append(injury) }
            return state.command
        }
        guard let command else { return .pass }
        let time = Duration.milliseconds(injury.milliseconds)
        switch injury.kind {
        case .killSource: source.child.signal(SIGKILL)
        case .killDestination: destination?.child.signal(SIGKILL)
        case .freezeSource: freeze(source.child, time)
        case .freezeDestination: if let destination { freeze(destination.child, time) }
        case .cutLink:
            if case .time = injury.moment { _ = link.withLock { $0 }?.end() }
            return .cut
        case .halfCutLink: return .halfCut
        case .garbleLink: return .garble(bit: UInt8(injury.milliseconds % 8))
        case .loseFrame: return .loseFrame
        case .stallLink: return .stall(time)
        case .cancel: ask("migrate_cancel")
        case .interrupt: interrupt(command, injury)
        case .pause: ask("stop")
        case .pauseAndResume:
            aside { [self] in
                try await tolerant("stop")
                try? await Task.sleep(for: time)
                try await tolerant("cont")
            }
        case .quitSource: ask("quit")
        case .terminateSource: source.child.signal(SIGTERM)
        case .terminateDestination: destination?.child.signal(SIGTERM)
        case .check: aside { [self] in try await check() }
        }
        return .pass
    }

    /// The command handles the interrupt key only once the migration has begun. Before that, the key ends just the command.
    private func interrupt(_ command: StressChild, _ injury: StressInjury) {
        aside { [self] in
            guard let report = try? await source.report(), !report.status.isOver else { return }
            state.withLock { $0.fired.append(injury) }
            command.signal(SIGINT)
        }
    }

    private func freeze(_ child: StressChild, _ time: Duration) {
        child.signal(SIGSTOP)
        aside {
            try? await Task.sleep(for: time)
            child.signal(SIGCONT)
        }
    }

    private func ask(_ command: String) { aside { [self] in try await tolerant(command) } }

    /// A refusal, or a process that has ended, is accepted; no answer is not.
    private func tolerant(_ command: String) async throws {
        do { _ = try await source.ask(command) } catch is StressGuest.Gone {} catch ControlError.refused {}
    }

    /// Asks for it, unless the migration is over. A refusal is an answer: the guest's state is being saved, or the guest has gone.
    private func grant(_ wish: StressWish) {
        state.withLock { state in
            if state.isOver { return }
            let task = Task { [self] in
                let (name, arguments) = wish.command
                do {
                    _ = try await source.ask(name, arguments)
                    self.state.withLock { $0.wanted.grant(wish.kind) }
                } catch is StressGuest.Gone {
                    self.state.withLock { $0.wanted.doubt(wish.kind) }
                } catch ControlError.refused {}
            }
            state.tasks.append(task)
        }
    }

    private func check() async throws {
        do {
            let check = try await source.check()
            if !check.isClean { throw StressFind(.guest, "in the middle of a migration the guest's check of itself fails: \(check)") }
        } catch is StressGuest.Gone {} catch ControlError.refused {}
    }
}

extension MigrationReport.Status {
    /// The exit code of `aerostat migrate`.
    var exitCode: Int32 {
        switch self {
        case .completed: 0
        case .unknown: 3
        default: 1
        }
    }
}

import AerostatMachineHost
import AerostatMigration
import AerostatQMP
import Testing

@Suite struct LifecycleTests {
    private static let blocks: [String: [Line]] = Dictionary(
        uniqueKeysWithValues: LifecycleTable.text.split(separator: "\n\n").map { block in
            let lines = block.split(separator: "\n")
            return (String(lines[0]), lines.dropFirst().map(Line.init))
        }
    )

    /// One line of a block.
    private struct Line {
        let patterns: [String]
        let outcome: String

        init(_ text: Substring) {
            let sides = text.split(separator: " -> ", maxSplits: 1)
            patterns = sides[0].split(separator: ",").map { String($0.drop { $0 == " " }) }
            outcome = String(sides[1])
        }

        func names(_ state: String) -> Bool { patterns.contains { Self.fits(state[...], $0[...]) } }

        /// `*` stands for anything, nothing too.
        static func fits(_ text: Substring, _ pattern: Substring) -> Bool {
            guard let first = pattern.first else { return text.isEmpty }
            if first == "*" {
                return fits(text, pattern.dropFirst()) || (!text.isEmpty && fits(text.dropFirst(), pattern))
            }
            return text.first == first && fits(text.dropFirst(), pattern.dropFirst())
        }
    }

    /// What became of it, as the table says it.
    private func outcome(of input: LifecycleTable.Input, in state: NamedState) -> String {
        var lifecycle = Lifecycle(.creation, keepsEndedGuest: false)
        lifecycle.state = state.state
        let effects: [Lifecycle.Effect]
        switch input {
        case .command(let command):
            do throws(QMPError) { effects = try lifecycle.obey(command) } catch {
                return lifecycle.state == state.state ? "refused: \(error)" : "refused, and changed: \(error)"
            }
        case .occurrence(let occurrence):
            guard let noted = lifecycle.note(occurrence) else {
                return lifecycle.state == state.state ? "impossible" : "impossible, and changed"
            }
            effects = noted
        }
        let place = lifecycle.state == state.state ? "same" : NamedState(state: lifecycle.state).name
        return effects.isEmpty ? place : "\(place): \(effects.map(\.words).joined(separator: "; "))"
    }

    @Test(arguments: LifecycleTable.inputs.map(\.name))
    func `every command and every event in every state does what the table says`(_ name: String) throws {
        let input = try #require(LifecycleTable.inputs.first { $0.name == name }).input
        let lines = try #require(Self.blocks[name], "the table has no block '\(name)'")
        var used: Set<Int> = []
        for state in NamedState.all {
            let index = try #require(lines.firstIndex { $0.names(state.name) }, "'\(name)' does not say what \(state.name) becomes")
            used.insert(index)
            #expect(outcome(of: input, in: state) == lines[index].outcome, "'\(name)' in \(state.name)")
        }
        #expect(used.count == lines.count, "'\(name)' has a line for no state")
    }

    @Test func `the table has a block for each input and no other, and the states have names of their own`() {
        #expect(Set(Self.blocks.keys) == Set(LifecycleTable.inputs.map(\.name)))
        #expect(Set(NamedState.all.map(\.name)).count == NamedState.all.count)
    }

    @Test func `no effect that can fail comes behind another, and so a failure leaves nothing half done`() {
        let canFail: Set<Lifecycle.Effect> = [.pauseGuest, .resumeGuest, .makeMigration]
        for (name, input) in LifecycleTable.inputs {
            for state in NamedState.all {
                var lifecycle = Lifecycle(.creation, keepsEndedGuest: false)
                lifecycle.state = state.state
                let effects =
                    switch input {
                    case .command(let command): (try? lifecycle.obey(command)) ?? []
                    case .occurrence(let occurrence): lifecycle.note(occurrence) ?? []
                    }
                #expect(!effects.dropFirst().contains { canFail.contains($0) }, "'\(name)' in \(state.name)")
            }
        }
    }

    @Test(arguments: [
        ("creation", RunState.preLaunch), ("migration", .inMigrate), ("arrival", .inMigrate), ("image", .restoreVM),
        ("fresh", .preLaunch), ("fresh+moving", .preLaunch), ("paused", .paused), ("paused+unknown", .paused), ("paused+moving", .paused),
        ("paused+over", .finishMigrate), ("running", .running), ("running+untold", .running), ("running+moving", .running),
        ("running+moving+dying", .running), ("running+over", .finishMigrate), ("running+over+dying", .finishMigrate),
        ("away", .postMigrate), ("in-image", .postMigrate), ("powered-off", .shutdown), ("was-reset", .shutdown),
        ("crashed", .guestPanicked),
    ])
    func `states have QEMU's names`(_ name: String, _ runState: RunState) throws {
        var lifecycle = Lifecycle(.creation, keepsEndedGuest: false)
        lifecycle.state = try #require(NamedState.all.first { $0.name == name }).state
        #expect(lifecycle.runState == runState)
    }

    @Test(arguments: [
        (GuestEnding.Kind.powerOff, "powered-off", "guest-shutdown", false), (.reset, "was-reset", "guest-reset", false),
        (.crash, "crashed", "guest-panic", true),
    ])
    func `how a guest ended decides the state, the reason and the process's exit; kept, the process goes on`(
        _ kind: GuestEnding.Kind,
        _ state: String,
        _ reason: String,
        _ isFailure: Bool
    ) {
        let ending = GuestEnding(kind, "it ended")
        #expect(ProcessEnding.guest(ending).isFailure == isFailure)
        for isKept in [false, true] {
            var lifecycle = Lifecycle(.creation, keepsEndedGuest: isKept)
            lifecycle.state = .held(Lifecycle.Holding(condition: .running))
            let effects = lifecycle.note(.guestEnded(ending)) ?? []
            #expect(NamedState(state: lifecycle.state).name == state)
            let news = [isKept ? "log kept" : "log", "SHUTDOWN \(reason)"]
            #expect(effects.map(\.words) == (isKept ? news : news + ["end by guest"]))
        }
    }

    @Test func `the first reason to end counts, and is told once`() {
        var lifecycle = Lifecycle(.migration, keepsEndedGuest: false)
        #expect(lifecycle.note(.processEnds(.failed))?.map(\.words) == ["end by failure"])
        #expect(lifecycle.note(.processEnds(.asked(reason: "host-signal"))) == [])
        lifecycle.state = .held(Lifecycle.Holding(condition: .running))
        #expect(lifecycle.note(.guestEnded(NamedState.ending))?.map(\.words) == ["log", "SHUTDOWN guest-shutdown"])
        #expect(lifecycle.processEnding == .failed)
    }

    @Test func `a guest is where its migration took it: in an image, or in another process`() throws {
        for place in [Lifecycle.Place.process, NamedState.image] {
            var lifecycle = Lifecycle(.creation, keepsEndedGuest: false)
            _ = lifecycle.note(.made)
            _ = lifecycle.note(.started)
            _ = try lifecycle.obey(.migrate(to: place))
            _ = lifecycle.note(.handedOver)
            _ = lifecycle.note(.migrationEnded(.completed, guestRuns: false))
            #expect(lifecycle.state == .gone(to: place))
        }
    }
}

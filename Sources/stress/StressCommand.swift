import AerostatHost
import AerostatQMP
import ArgumentParser
import CommandSupport
import Glibc
import Synchronization

/// `aerostat stress`: the hunt for lost pages.
@main struct StressCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "aerostat stress",
        abstract: "Hunts for lost pages: random guests, migrations and injuries, until something is wrong or the time is over.",
        discussion: """
            Each round draws from one number a guest (size, processors, workload, fragmentation, memory regions, what it fills freed \
            memory with, tracker, balloon driver, also one that resets its device, reports of free memory), one to four migrations \
            (TCP, unix socket, or into an image and back; hints, verification, limits and timeouts as it comes) and what is done to them: \
            either \
            process killed, stopped or asked to end, the link cut, cut one way, stalled or garbled at any byte, a frame lost, the \
            migration cancelled, the guest paused, \
            resumed or checked. After each migration the guest must run in exactly one place, find nothing wrong in its memory and have \
            back what it lent; exit codes, reports and logs must agree; and on some rounds both memories are dumped and compared by code \
            that shares nothing with the engine.

            A round's plan follows from its seed; the threads of its processes do not, so a find may take a few replays to come back.

            Exits with 0 without a find and with 2 with one. The interrupt key ends it after the round; pressed again, and by SIGTERM and \
            SIGHUP, it ends at once. Its guests end with it, and but for what was found it leaves nothing behind.

            Example:
              aerostat stress --minutes 10
              aerostat stress --seed 1 --first 17 --rounds 1
            """,
        version: AerostatVersion.text
    )

    @Option(help: "How long to hunt (default: 1, unless --rounds is given).")
    var minutes: Double?

    @Option(help: "How many rounds to play.")
    var rounds: Int?

    @Option(help: "Everything that is drawn follows from this number (default: the time).")
    var seed: UInt64?

    @Option(help: "The first round to play.")
    var first = 0

    @Option(
        help: ArgumentHelp("Where a find's dumps, logs and reports are kept.", valueName: "folder"),
        completion: .directory,
        transform: Values.path
    )
    var keep = "aerostat-finds"

    @Flag(help: "Go on after a find.")
    var keepGoing = false

    @Flag(help: "Print one JSON document on stdout; text for people goes to stderr.")
    var json = false

    func validate() throws {
        if let minutes, !(minutes > 0 && minutes <= 1_000_000) { throw ValidationError("--minutes must be more than 0") }
        if let rounds, rounds < 1 { throw ValidationError("--rounds must be at least 1") }
        if first < 0 { throw ValidationError("--first must not be negative") }
    }

    static func main() async {
        CommandProgram.begin()
        await CommandProgram.run(Self.self)
    }

    func run() async throws {
        try HostLimits.require(.client)
        let seed = seed ?? WallClock.milliseconds()
        let start = MonotonicClock.now()
        let limit = minutes ?? (rounds == nil ? 1 : nil)
        let deadline = limit.map { start + .seconds($0 * 60) }
        let interrupt = try StressInterrupt()
        let belongings = interrupt.belongings
        defer { belongings.end() }
        let heartbeat = try StressHeartbeat()
        defer { heartbeat.end() }
        var view = StressView()
        var tally = StressTally()
        var finds: [StressFound] = []
        writeToStandardError("seed \(seed)\n")
        var round = first
        while round - first < rounds ?? .max, deadline.map({ MonotonicClock.now() < $0 }) ?? true, !interrupt.isPending {
            let evidence = StressEvidence(
                seed: seed,
                round: round,
                keep: absolutePath(keep),
                folder: try belongings.makeFolder("aerostat-stress")
            )
            let game = StressRound(StressPlan(seed: StressPlan.seed(ofRound: round, in: seed)), in: evidence.folder)
            game.tally = tally
            heartbeat.beginRound()
            do {
                try await game.run()
            } catch {
                // Processes that are killed because the hunt ends are no find.
                belongings.checkpoint()
                view.clear()
                game.tally.finds += 1
                let words = ["\(error)", heartbeat.complaint].compactMap(\.self).joined(separator: "\n")
                let place = try await evidence.keep(game, words)
                writeToStandardError("FIND in round \(round): \(words)\nkept in \(place)\nreplay: \(evidence.replay)\n")
                finds.append(StressFound(round: round, check: (error as? StressFind)?.check, folder: place))
            }
            game.end()
            belongings.removeFolder()
            tally = game.tally
            tally.rounds += 1
            round += 1
            view.show(tally, MonotonicClock.now() - start)
            if tally.finds > 0, !keepGoing { break }
        }
        view.clear()
        try conclude(tally, seed, MonotonicClock.now() - start, finds)
    }

    private func conclude(_ tally: StressTally, _ seed: UInt64, _ elapsed: Duration, _ finds: [StressFound]) throws {
        let code: ExitCode = tally.finds > 0 ? .differs : .success
        let table = tally.table(elapsed)
        if json { writeToStandardError(table + "\n") }
        try printResult(json ? tally.json(seed: seed, elapsed, finds: finds).text(.indented) : table, code: code)
    }
}

/// The interrupt key ends the hunt after the current round. Pressed again it ends the hunt at once, as other termination signals do.
private final class StressInterrupt: Sendable {
    let belongings: Belongings
    private let pending: Flag

    private final class Flag: Sendable {
        let value = Atomic(false)
    }

    var isPending: Bool { pending.value.load(ordering: .relaxed) }

    init() throws(SystemError) {
        let flag = Flag()
        pending = flag
        belongings = try Belongings { number in
            if number != SIGINT || flag.value.exchange(true, ordering: .relaxed) { return true }
            writeToStandardError("\nending after this round; interrupt again to end at once\n")
            return false
        }
    }
}

/// The progress of the hunt: on a terminal a line that is redrawn, otherwise a line every few seconds.
private struct StressView {
    private let isTerminal = Terminal.isStandardErrorTerminal
    private var isDrawn = false
    private var last: ContinuousClock.Instant?

    mutating func show(_ tally: StressTally, _ elapsed: Duration) {
        let line = tally.line(elapsed)
        if isTerminal {
            clear()
            writeToStandardError("\(line.prefix(max(Terminal.columns - 1, 1)))")
            isDrawn = true
        } else if last.map({ MonotonicClock.now() - $0 > .seconds(10) }) ?? true {
            last = MonotonicClock.now()
            writeToStandardError(line + "\n")
        }
    }

    mutating func clear() {
        if isDrawn { writeToStandardError("\r\u{1b}[K") }
        isDrawn = false
    }
}

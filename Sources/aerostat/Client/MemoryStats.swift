import AerostatControl
import AerostatHost
import AerostatQMP
import ArgumentParser
import CommandSupport
import FoundationEssentials

struct MemoryStats: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what the guest tells of its memory.",
        discussion: """
            The guest's balloon driver is asked at an interval that --period sets. If it is not asked at all, this command has it asked \
            while it runs. A value that the guest does not give is left out. The first column has the names of 'virsh dommemstat'.
            With --watch, --json prints one document in each line.

            Examples:
              aerostat memory-stats --control /run/guest.sock
              aerostat memory-stats --watch --control /run/guest.sock
              aerostat memory-stats --period 10s --control /run/guest.sock
            """
    )

    @Flag(help: "Show each new answer of the guest, until interrupted.")
    var watch = false

    @Option(
        help: ArgumentHelp("Ask the guest this often from now on, in whole seconds; 0s turns it off.", valueName: "time"),
        transform: { try Values.duration($0, maximum: .seconds(1 << 31)) }
    )
    var period: Duration?

    @OptionGroup var options: ControlOptions

    func validate() throws {
        if let period, period.components.attoseconds != 0 { throw ValidationError("--period is in whole seconds (10s)") }
    }

    func run() async throws {
        let client = try await options.connect()
        if let period {
            try await client.setStatisticsPeriod(Int(period.components.seconds))
        } else if try await client.statisticsPeriod() == 0 {
            return try await askMeanwhile(client)
        }
        try await show(period == .zero ? try await client.guestStatistics() : try await firstAnswer(client), client) { false }
    }

    /// Has the guest asked once a second while this command runs, however it ends.
    private func askMeanwhile(_ client: ControlClient) async throws {
        let interruption = try Interruption()
        defer { interruption.end() }
        try await client.setStatisticsPeriod(1)
        do {
            try await show(try await firstAnswer(client), client) { interruption.isPending }
        } catch {
            try? await client.setStatisticsPeriod(0)
            throw error
        }
        try await client.setStatisticsPeriod(0)
    }

    /// Waits for an answer that is not older than this command, but not for long: a guest may have no driver, or not answer.
    private func firstAnswer(_ client: ControlClient) async throws -> GuestStatisticsReply {
        let asked = Int(Date().timeIntervalSince1970)
        let deadline = ContinuousClock.now + .seconds(3)
        var reply = try await client.guestStatistics()
        while reply.lastUpdate < asked, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(100))
            reply = try await client.guestStatistics()
        }
        return reply
    }

    /// Prints the answer. With `--watch`, prints each later one too, until `isOver`.
    private func show(_ first: GuestStatisticsReply, _ client: ControlClient, until isOver: () -> Bool) async throws {
        var (reply, shown) = (first, GuestStatisticsReply?.none)
        repeat {
            if reply != shown {
                let balloon = try await client.balloon()
                let text = MemoryStatsText.table(reply, balloon).joined(separator: "\n")
                if watch {
                    // A document in each line.
                    try printResult(options.json ? document(reply, balloon).text() : text + "\n")
                } else {
                    try options.print(document(reply, balloon), text: text)
                }
                shown = reply
            }
            guard watch else { return }
            try await Task.sleep(for: .milliseconds(200))
            reply = try await client.guestStatistics()
        } while !isOver()
    }

    private func document(_ reply: GuestStatisticsReply, _ balloon: BalloonInfo) throws -> JSONValue {
        let figures = reply.figures.map { ($0.key.rawValue, Int(exactly: $0.value).map(JSONValue.integer) ?? .numeral(String($0.value))) }
        return [
            "stats": .object(Dictionary(uniqueKeysWithValues: figures)), "last-update": .integer(reply.lastUpdate),
            "actual": .integer(balloon.actual),
        ]
    }
}

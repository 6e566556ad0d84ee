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
            The guest's balloon driver is asked every few seconds (--period). If nobody asked before, this command asks once and turns \
            it off again. A figure that the guest does not give is left out. The first column has the names of 'virsh dommemstat'.

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
        var setBack: Int?
        if let period {
            try await client.setStatisticsPeriod(Int(period.components.seconds))
        } else if try await client.statisticsPeriod() == 0 {
            try await client.setStatisticsPeriod(1)
            setBack = 0
        }
        let turnsOff = period == .zero
        do {
            let reply = turnsOff ? try await client.guestStatistics() : try await firstAnswer(client)
            try await show(reply, client)
        } catch {
            if let setBack { try? await client.setStatisticsPeriod(setBack) }
            throw error
        }
        if let setBack { try await client.setStatisticsPeriod(setBack) }
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

    private func show(_ first: GuestStatisticsReply, _ client: ControlClient) async throws {
        var reply = first
        guard watch else {
            let balloon = try await client.balloon()
            return try options.print(document(reply, balloon), text: MemoryStatsText.table(reply, balloon).joined(separator: "\n"))
        }
        var shown: GuestStatisticsReply?
        while true {
            if reply != shown {
                let balloon = try await client.balloon()
                try options.print(document(reply, balloon), text: MemoryStatsText.table(reply, balloon).joined(separator: "\n") + "\n")
                shown = reply
            }
            try await Task.sleep(for: .milliseconds(200))
            reply = try await client.guestStatistics()
        }
    }

    private func document(_ reply: GuestStatisticsReply, _ balloon: BalloonInfo) throws -> JSONValue {
        let figures = reply.figures.map { ($0.key.rawValue, Int(exactly: $0.value).map(JSONValue.integer) ?? .numeral(String($0.value))) }
        return [
            "stats": .object(Dictionary(uniqueKeysWithValues: figures)), "last-update": .integer(reply.lastUpdate),
            "actual": .integer(balloon.actual),
        ]
    }
}

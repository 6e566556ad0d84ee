import AerostatControl
import AerostatHost
import AerostatQMP
import ArgumentParser
import CommandSupport

struct Balloon: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Changes how much memory the guest keeps, or says how its balloon stands.",
        discussion: """
            SIZE is what the guest keeps, as in QEMU's 'balloon' and in 'virsh setmem'. Above the guest's memory it means all of it. The \
            guest's driver gives memory up, or takes it back, as fast as it can; --wait waits for that.

            Without a SIZE: what the guest was asked to keep, what it has, what is still on the way, and why it does not move.

            Examples:
              aerostat balloon 2G --control /run/guest.sock
              aerostat balloon 512M --wait --timeout 30s --control /run/guest.sock
              aerostat balloon --control /run/guest.sock
            """
    )

    @Argument(help: ArgumentHelp("How much memory the guest keeps (2G).", valueName: "size"), transform: Values.size)
    var size: Int?

    @Flag(help: "Wait until the guest has reached the size.")
    var wait = false

    @Option(help: ArgumentHelp("How long --wait waits (60s).", valueName: "time"), transform: { try Values.duration($0) })
    var timeout: Duration?

    @OptionGroup var options: ControlOptions

    func validate() throws {
        if timeout != nil && !wait { throw ValidationError("--timeout is for --wait") }
        if wait && size == nil { throw ValidationError("--wait needs a SIZE") }
        if let size, size < 1 { throw ValidationError("a guest cannot do without memory: SIZE is more than 0") }
    }

    func run() async throws {
        let client = try await options.connect()
        if let size { try await client.execute(.balloon, BalloonArguments(keptBytes: size)) }
        var info = try await client.balloon()
        if wait {
            let deadline = ContinuousClock.now + (timeout ?? .seconds(60))
            while info.actual != info.target, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(50))
                info = try await client.balloon()
            }
        }
        let isMissed = wait && info.actual != info.target
        let words = isMissed ? ["the guest did not reach \(Figures.size(info.target)) in time"] : []
        // Counting them takes time in a large guest.
        let split = size == nil ? try await client.splitHugePages() : 0
        let text = (words + BalloonText.lines(info, splitHugePages: split)).joined(separator: "\n")
        try options.print(try info.json, text: text, code: isMissed ? .failed : .success)
    }
}

import AerostatControl
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest
import AerostatQMP
import ArgumentParser
import CommandSupport

/// `aerostat demo`: moves the same guest twice, without hints and with them; or once, with a full balloon.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Moves a guest between two processes, without and with free-page hints, and shows the difference.",
        discussion: """
            Each of the two migrations has a source and a destination process of its own, joined by TCP on the loopback interface. Both \
            compare all memory before the guest runs at the destination, and the guest checks itself there. Needs no privileges. The \
            interrupt key, SIGTERM and SIGHUP end the demo and its guests, and leave nothing behind.

            With --image the guest comes from a guest image, for example one of a real Linux machine's memory ('tools/guest-image' \
            makes one). Both migrations start from the image. The guest does what it did when the image was written, unless --workload \
            says otherwise.

            With --balloon there is one migration. The guest is asked to give most of its memory up before it, and takes it back where \
            it arrived. The resident memory of its process is shown beside what the guest has.

            Examples:
              aerostat demo --memory 2GiB --workload churn --vcpus 2
              aerostat demo --balloon
              aerostat demo --image linux.image --workload steady
            """
    )

    @OptionGroup var options: GuestOptions

    @Option(help: ArgumentHelp("Take the guest from an image.", valueName: "file"), completion: .file(), transform: Values.image)
    var image: String?

    @Flag(help: "Have the guest give memory up, move it with the balloon full, and let it take its memory back.")
    var balloon = false

    @Flag(help: "Print one JSON document on stdout; text for people goes to stderr.")
    var json = false

    @Flag(inversion: .prefixedNo, help: "Compare all memory of both sides before the guest runs at the destination.")
    var verify = true

    /// Large enough to show the difference, small enough for any machine.
    static let defaultMemory: UInt64 = 1 << 30

    func validate() throws {
        guard image != nil else { return _ = try options.configuration(defaultMemory: Self.defaultMemory) }
        if balloon { throw ValidationError("--balloon has no meaning with --image: the demo's balloon is that of a new model guest") }
        if options.memory != nil { throw ValidationError("--memory has no meaning with --image: the guest comes as it is") }
        try options.refuseMaking(with: "--image", except: ["--workload", "--write-rate", "--working-set"])
        try options.checkWorkload(absence: "without it the guest does what it did")
    }

    func run() async throws {
        try HostLimits.require(.client)
        let belongings = try Belongings()
        defer { belongings.end() }
        say(try introduction())
        let folder = try belongings.makeFolder("aerostat-demo")
        if balloon { return try await showBalloon(in: folder) }
        let without = try await migrate(usesHints: false, in: folder)
        let with = try await migrate(usesHints: true, in: folder)
        try conclude(without, with)
    }

    private func showBalloon(in folder: String) async throws {
        let guest = try options.configuration(defaultMemory: Self.defaultMemory)
        let demo = BalloonDemo(
            guestArguments: guestArguments,
            usedBytes: Int(Double(guest.memory.byteCount) * guest.usedShare),
            verifies: verify,
            folder: folder,
            say: say
        )
        let result = try await demo.run()
        let isComplete = result.report.status == .completed
        let verdict = verdict(isVerified: result.isVerified)
        let table = result.table + ([verdict] + result.faults).joined(separator: "\n")
        try finish(table, try result.json, code: !isComplete ? .failed : result.isVerified ? .success : .differs)
    }

    private func verdict(isVerified: Bool) -> String {
        guard isVerified else { return "VERIFICATION FAILED" }
        return verify ? "verified: every page that is not free is equal, and the guest finds no fault" : "the guest finds no fault"
    }

    private func finish(_ table: String, _ document: @autoclosure () throws -> JSONValue, code: ExitCode) throws {
        guard json else { return try printResult(table, code: code) }
        say(table + "\n")
        try printResult(try document().text(.indented), code: code)
    }

    private func conclude(_ without: Run, _ with: Run) throws {
        let verified = without.isVerified && with.isVerified
        let table = DemoTable(without: without.report, with: with.report).text + verdict(isVerified: verified)
        let isComplete = without.report.status == .completed && with.report.status == .completed
        let code: ExitCode = !isComplete ? .failed : verified ? .success : .differs
        let document: JSONValue = [
            "without-hints": try without.report.json, "with-hints": try with.report.json, "verified": .bool(verified),
        ]
        try finish(table, document, code: code)
    }

    private func introduction() throws -> String {
        if let image {
            let summary = ImageSummary(try GuestImage.named(image))
            return "the guest in \(image): \(Bytes(summary.memoryBytes)), \(Bytes(summary.storedBytes)) of it with data\n"
        }
        let guest = try options.configuration(defaultMemory: Self.defaultMemory)
        let (used, freed) = (percent(guest.usedShare), percent(guest.freedShare))
        return "a guest of \(Bytes(Int(guest.memory.byteCount))), \(used) in use, \(freed) written and freed again\n"
    }

    /// One finished migration.
    private struct Run {
        let report: MigrationReport
        let isVerified: Bool
    }

    private func migrate(usesHints: Bool, in folder: String) async throws -> Run {
        say(usesHints ? "with hints:\n" : "without hints:\n")
        let name = usesHints ? "with" : "without"
        let destination = try await GuestCommand.start(
            ["--incoming", "tcp:127.0.0.1:0"] + (image == nil ? ["--guest", "model"] : []),
            control: "\(folder)/\(name)-b.sock"
        )
        defer { destination.kill() }
        let source = try await GuestCommand.start(
            guestArguments,
            control: "\(folder)/\(name)-a.sock"
        )
        defer { source.kill() }

        _ = try await source.client.execute(
            "migrate-set-parameters",
            ["free-page-hints": .bool(usesHints), "verify": .bool(verify)]
        )
        try await source.client.execute(.migrate, MigrateArguments(uri: destination.incoming ?? ""))
        var view = ProgressView()
        let report = try await followMigration(on: source.client, at: .watched) { view.show($0) }
        view.clear()
        guard report.status == .completed else {
            say("  \(report.status.rawValue): \(report.errorDescription ?? "")\n")
            return Run(report: report, isVerified: false)
        }
        let state = try await destination.client.runState()
        let check = try await destination.client.checkGuest()
        if !check.isClean { say("  the guest found \(check.pagesWrong) wrong pages; \(check.brokenInvariants.joined(separator: "; "))\n") }
        await source.quit()
        await destination.quit()
        return Run(report: report, isVerified: report.verify?.status != .failed && check.isClean && state == .running)
    }

    /// The options of `run` that make the guest.
    private var guestArguments: [String] {
        // All of an image is read first, so that the migration is measured and not the disk. The image keeps its guest: copies of it move.
        let origin =
            image.map { ["--restore", "file:" + $0, "--clone", "--preload"] }
            ?? ["--memory", "\(options.memory ?? Int(Self.defaultMemory))"]
        return origin + options.arguments
    }

    private func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }

    /// Prints text for people before there is a result.
    private func say(_ text: String) {
        if json { writeToStandardError(text) } else { try? StandardStream.output.write(text, patience: .seconds(1)) }
    }
}

import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest
import AerostatQMP
import ArgumentParser
import CommandSupport

struct ImageImport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Makes an image of a real Linux machine's memory.",
        discussion: """
            Takes the RAM of a paused machine, as one file that begins at physical address 0 (such as QEMU's memory-backend-file), and a \
            copy of the machine's /proc/kpageflags. Frames that Linux had free are free in the image's guest too, in the same blocks and \
            with the same content. All other frames are in use: the guest keeps them, compares them with their checksums, and rewrites \
            some of them if its workload says so. --workload, --write-rate, --working-set, --vcpus and --seed are as for 'aerostat run'. \
            The guest is some MiB larger than the machine, because its own tables lie in front. 'tools/guest-image' makes such files and \
            imports them.

            Example:
              aerostat image import --ram machine.ram --page-flags machine.flags -o machine.image
            """
    )

    @OptionGroup var options: ImageOptions

    @Option(help: ArgumentHelp("The machine's RAM.", valueName: "file"), completion: .file(), transform: Values.path)
    var ram: String

    @Option(
        help: ArgumentHelp("Its page flags, 8 bytes for each page frame.", valueName: "file"),
        completion: .file(),
        transform: Values.path
    )
    var pageFlags: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The image to write.", valueName: "file"), completion: .file(), transform: Values.path)
    var output: String

    @OptionGroup(visibility: .hidden) var guest: GuestOptions

    func validate() throws {
        if guest.memory != nil { throw ValidationError("--memory has no meaning here: the guest is as large as the machine was") }
        try guest.refuseMaking(with: "image import", except: ["--workload", "--write-rate", "--working-set", "--vcpus", "--seed"])
        try guest.checkBehaviour()
        do throws(ModelGuestConfiguration.Invalid) { try behaviour.validate() } catch { throw ValidationError("\(error)") }
    }

    private var behaviour: GuestBehaviour {
        var behaviour = GuestBehaviour()
        behaviour.vcpus = guest.vcpus ?? behaviour.vcpus
        behaviour.seed = guest.seed ?? behaviour.seed
        behaviour.workload = guest.chosenWorkload ?? behaviour.workload
        return behaviour
    }

    func run() async throws {
        for (input, name) in [(ram, "--ram"), (pageFlags, "--page-flags")] where areSameFile(input, output) {
            throw ValidationError("the image would overwrite its own source: -o and \(name) are the same file")
        }
        let imported = try ImportedGuest(try MachineDump(ram: ram, pageFlags: pageFlags), behaviour: behaviour, tracker: .software)
        defer { imported.guest.shutdown() }
        try write(imported.guest, to: absolutePath(output))
        try options.print(JSONValue(encoding: imported.summary), text: lines(imported.summary).joined(separator: "\n"))
    }

    /// The engine writes the image, as it does for any guest. Free pages are written too, with the content that the machine left in them.
    private func write(_ guest: ModelGuest, to path: String) throws {
        var parameters = MigrationParameters()
        parameters.usesHints = false
        // The guest is paused here, but it must run when it is restored.
        let owner = SourceMigration.Owner(statusChanged: { _ in }, roundBegan: { _ in }, isGuestRunning: { true }, handOver: { true })
        let migration = try SourceMigration(guest: guest, parameters: parameters, owner: owner)
        try migration.start(to: .file(path: path))
        switch migration.wait() {
        case .completed: return
        case .failed(let failure): throw ImportFailed(description: "the image was not written: \(failure)")
        case .cancelled(let reason), .unknown(let reason): throw ImportFailed(description: "the image was not written: \(reason)")
        }
    }

    private struct ImportFailed: Error, CustomStringConvertible {
        let description: String
    }

    private func lines(_ summary: MachineDump.Summary) -> [String] {
        func pages(_ count: Int) -> String { "\(Figures.count(count)) (\(Figures.size(count * GuestPage.size)))" }
        return ["\(output): the memory of a machine with \(Figures.size(summary.frames * GuestPage.size))"]
            + imageTable([
                ("free", pages(summary.free)),
                ("in blocks of 4 MiB", pages(summary.freeTopOrder)),
                ("zero", pages(summary.zero)),
                ("in use, not zero", pages(summary.usedData)),
            ])
    }
}

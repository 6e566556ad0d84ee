import AerostatMigrationIO
import AerostatQMP
import ArgumentParser

struct ImageInfo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Shows what a guest image holds.",
        discussion: """
            Checks the header, the page map and the device state; 'aerostat image verify' reads the pages too.

            Example:
              aerostat image info /srv/guest.image
            """
    )

    @OptionGroup var options: ImageOptions

    @Argument(help: "The image.", completion: .file(), transform: Values.image)
    var image: String

    func run() async throws {
        let summary = ImageSummary(try GuestImage.named(image))
        try options.print(JSONValue(encoding: summary), text: lines(summary).joined(separator: "\n"))
    }

    private func lines(_ summary: ImageSummary) -> [String] {
        func pages(_ bytes: Int) -> String { "\(Figures.count(bytes / summary.pageSize)) (\(Figures.size(bytes)))" }
        let regions = summary.regions.map { "\(Figures.size(Int(clamping: $0.size))) at 0x\(String($0.base, radix: 16))" }
        func list(_ sections: [ImageSummary.Section]) -> String {
            let words = sections.map { "\($0.name) (version \($0.version), \(Figures.count($0.bytes)) bytes)" }
            return words.isEmpty ? "none" : words.joined(separator: ", ")
        }
        return ["\(summary.path): a guest image of \(Figures.size(summary.memoryBytes)), written by \(summary.createdBy)"]
            + imageTable([
                ("id", summary.id),
                ("begun", summary.begun ?? "unknown"),
                ("finished", summary.finished ?? "unknown"),
                ("the guest", (summary.running ? "was running" : "was paused") + (summary.hasLeft ? ", and has moved on since" : "")),
                ("memory", regions.joined(separator: ", ")),
                ("pages with data", pages(summary.storedBytes)),
                ("zero pages", pages(summary.zeroBytes)),
                ("free pages", pages(summary.freeBytes)),
                ("never populated", pages(summary.absentBytes)),
                ("the file", "\(Figures.size(summary.fileBytes)) long, \(Figures.size(summary.diskBytes)) on the disk"),
                ("requires", list(summary.requirements)),
                ("devices", list(summary.deviceSections)),
            ])
    }
}

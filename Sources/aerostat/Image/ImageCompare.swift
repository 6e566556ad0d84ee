import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
import ArgumentParser
import CommandSupport

struct ImageCompare: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compares the memory of two guest images, page by page.",
        discussion: """
            Pages that are free in either image are left out, because nobody uses their content. Devices are compared too. Those that \
            differ are named, but they do not count as a difference of memory.

            Exits with 0 if the memory is the same, and with 2 if it is not.

            Example:
              aerostat image compare before.image after.image
            """
    )

    @OptionGroup var options: ImageOptions

    @Argument(help: "One image.", completion: .file(), transform: Values.image)
    var first: String

    @Argument(help: "The other image.", completion: .file(), transform: Values.image)
    var second: String

    func run() async throws {
        let (a, b) = (try GuestImage.named(first), try GuestImage.named(second))
        let difference: ImageDifference
        do throws(ImageError) { difference = try a.compare(with: b) } catch {
            throw ImageRefused(path: "\(first) or \(second)", error: error)
        }
        let code: ExitCode = difference.isSameMemory ? .success : .differs
        try options.print(JSONValue(encoding: difference), text: lines(difference).joined(separator: "\n"), code: code)
    }

    private func lines(_ difference: ImageDifference) -> [String] {
        guard difference.isSameShape else { return ["the guests' memory regions are not the same; no page was compared"] }
        let first = difference.firstDifference.map { ", the first is page \($0)" } ?? ""
        let outcome = difference.differences == 0 ? "no difference" : "\(Figures.count(difference.differences)) DIFFER\(first)"
        var lines = [
            "\(Figures.count(difference.pagesCompared)) pages compared, \(Figures.count(difference.pagesFree)) free ones left out: "
                + "\(outcome)"
        ]
        if !difference.differingSections.isEmpty {
            lines.append("  device state that differs: \(difference.differingSections.joined(separator: ", "))")
        }
        return lines
    }
}

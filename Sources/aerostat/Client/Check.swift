import AerostatControl
import AerostatQMP
import ArgumentParser
import CommandSupport

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Has the guest check every page of its memory.",
        discussion: """
            The guest may be running or paused. Exits with 0 if nothing is wrong, and with 2 if something is.

            Example:
              aerostat check --control /run/guest.sock
            """
    )

    @OptionGroup var options: ControlOptions

    func run() async throws {
        let client = try await options.connect()
        let check = try await client.checkGuest()
        let copy = try await client.runState() == .postMigrate ? ["  this is the copy that stayed here when the guest moved away"] : []
        try options.print(check.json, text: (lines(check) + copy).joined(separator: "\n"), code: check.isClean ? .success : .differs)
    }

    private func lines(_ check: SelfCheck) -> [String] {
        var lines = [
            "\(check.isClean ? "clean" : "DAMAGED"): \(Figures.count(check.pagesChecked)) pages checked, "
                + "\(Figures.count(check.pagesWrong)) wrong",
            "  used \(Figures.count(check.pagesUsed)), free \(Figures.count(check.pagesFree)) pages, "
                + "\(Figures.count(check.pagesFreeTopOrder)) of them in the largest blocks",
        ]
        if check.pagesHeld > 0 {
            lines.append("  held by the balloon driver for hints: \(Figures.count(check.pagesHeld)) of the free pages")
        }
        if let pages = check.pagesBallooned, pages > 0 {
            lines.append("  in the balloon, and not looked at: \(Figures.count(pages)) pages")
        }
        if let wrong = check.firstWrong {
            lines.append("  the first wrong page is \(wrong.page): expected \(wrong.expected), found \(wrong.found)")
        }
        return lines + check.brokenInvariants.map { "  broken invariant: \($0)" }
    }
}

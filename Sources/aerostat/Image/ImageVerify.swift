import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
import ArgumentParser
import CommandSupport

struct ImageVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Reads a whole guest image and compares it with its checksums.",
        discussion: """
            Exits with 0 if all of it is as it was written, with 2 if something is damaged, and with 1 if it cannot be read.

            Example:
              aerostat image verify /srv/guest.image
            """
    )

    @OptionGroup var options: ImageOptions

    @Argument(help: "The image.", completion: .file(), transform: Values.image)
    var image: String

    /// The document that `--json` prints.
    private struct Result: Encodable {
        struct Fault: Encodable {
            var page: Int?
            var message: String
        }

        let path: String
        var pagesChecked = 0
        var faults = 0
        var firstFault: Fault?

        enum CodingKeys: String, CodingKey {
            case path, faults
            case pagesChecked = "pages-checked"
            case firstFault = "first-fault"
        }

        mutating func note(_ error: ImageError, faults: Int) {
            self.faults = faults
            firstFault = Fault(page: nil, message: "\(error)")
            if case .pageChecksum(let page, _, _, _) = error { firstFault?.page = page }
        }
    }

    func run() async throws {
        var result = Result(path: image)
        do {
            let opened = try GuestImage.named(image)
            let verification = try verify(opened)
            result.pagesChecked = verification.pagesChecked
            if let fault = verification.firstFault { result.note(fault, faults: verification.faults) }
        } catch let refused as ImageRefused where refused.error.isDamage {
            // Not a page is damaged, but a part without which no page can be trusted.
            result.note(refused.error, faults: 1)
        }
        try options.print(JSONValue(encoding: result), text: text(result), code: result.faults > 0 ? .differs : .success)
    }

    private func verify(_ image: GuestImage) throws -> ImageVerification {
        var view = ImageProgress(total: image.header.dataPages * GuestPage.size)
        defer { view.clear() }
        do throws(ImageError) {
            return try image.verify { view.show($0 * GuestPage.size) }
        } catch {
            throw ImageRefused(path: image.path, error: error)
        }
    }

    private func text(_ result: Result) -> String {
        guard let fault = result.firstFault else {
            return "\(image): \(Figures.count(result.pagesChecked)) pages with data, and all of them are as they were written"
        }
        let more = result.faults > 1 ? "\n\(Figures.count(result.faults)) places are damaged in total" : ""
        return "\(image): DAMAGED: \(fault.message)\(more)"
    }
}

/// Shows how much has been read, if standard error is a terminal.
private struct ImageProgress {
    let total: Int
    private var shown = ContinuousClock.now
    private var isShown = false

    init(total: Int) { self.total = total }

    mutating func show(_ done: Int) {
        guard Terminal.isStandardErrorTerminal, ContinuousClock.now - shown > .milliseconds(200) else { return }
        shown = ContinuousClock.now
        isShown = true
        writeToStandardError("\r\u{1b}[K\(Figures.size(done)) of \(Figures.size(total)) read")
    }

    mutating func clear() {
        if isShown { writeToStandardError("\r\u{1b}[K") }
        isShown = false
    }
}

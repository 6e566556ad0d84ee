import AerostatHost

extension SourceSession {
    /// Why a migration did not succeed.
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// The link broke; the text says how.
        case link(String)
        /// The destination refused or gave up; the text is its own.
        case peer(String)
        case guest(String)
        /// The disk is full. `needed`: the estimated size of the whole image, in bytes.
        case noSpace(path: String, needed: Int)
        /// The destination will never run the guest, although commit was sent.
        case notCommitted(String)
        /// The guest was paused for this long, and commit was not sent. `waitedForReady`: all remaining memory had been sent.
        case pauseBudget(Duration, waitedForReady: Bool)
        /// The two memories differ.
        case verification(differences: Int, firstPage: Int?)

        public var description: String {
            switch self {
            case .link(let text): text
            case .peer(let text): "the destination gave up: \(text)"
            case .guest(let text): text
            case .noSpace(let path, let needed): "the disk is full: \(path) needs about \(needed) bytes (\(needed >> 20) MiB) in all"
            case .notCommitted(let text): text
            case .pauseBudget(let budget, let waitedForReady):
                "the guest was paused for \(budget.inSeconds) s, the most that a switch-over may take, and "
                    + (waitedForReady ? "the destination had not said that it was ready" : "the rest of its memory was still being sent")
            case .verification(let differences, let page):
                "verification found \(differences) differing pages" + (page.map { ", the first is page \($0)" } ?? "")
            }
        }
    }
}

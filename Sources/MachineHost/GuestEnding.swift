/// How a guest ended on its own.
public struct GuestEnding: Hashable, Sendable, CustomStringConvertible {
    /// The kinds of ending that others must tell apart.
    public enum Kind: Hashable, Sendable, CaseIterable {
        case powerOff
        case reset
        /// An ending that the guest did not ask for.
        case crash

        /// The reason in QMP's event SHUTDOWN.
        var reason: String {
            switch self {
            case .powerOff: "guest-shutdown"
            case .reset: "guest-reset"
            case .crash: "guest-panic"
            }
        }
    }

    public let kind: Kind
    /// What happened, in one line for people.
    public let description: String

    public init(_ kind: Kind, _ description: String) { (self.kind, self.description) = (kind, description) }
}

/// Why the process ends.
public enum ProcessEnding: Hashable, Sendable {
    case asked(reason: String)
    case guest(GuestEnding)
    case failed

    /// Whether the process exits with a failure. A guest that ended as it wanted is no failure.
    public var isFailure: Bool {
        switch self {
        case .asked: false
        case .guest(let ending): ending.kind == .crash
        case .failed: true
        }
    }
}

// The commands of a machine with a balloon, under QMP's names.

/// The balloon among a machine's objects (`ObjectModel`), with QEMU's names for its properties.
public enum BalloonObject {
    /// The device's name. QEMU's users choose one; this is the usual choice.
    public static let name = "balloon0"
    /// A `GuestStatisticsReply`.
    public static let statistics = "guest-stats"
    /// Seconds; 0 if the guest is not asked for statistics.
    public static let pollingInterval = "guest-stats-polling-interval"
    /// Ours: how many stretches of 2 MiB are partly in the balloon, so that the host cannot back them with huge pages.
    public static let splitHugePages = "split-huge-pages"
}

extension CommandDeclaration<BalloonArguments> {
    /// Sets how much memory the guest should keep.
    public static var balloon: Self { Self("balloon", isBrief: true) }
}

extension CommandDeclaration<NoArguments> {
    /// The reply is a `BalloonInfo`'s `json`.
    public static var queryBalloon: Self { Self("query-balloon", isBrief: true) }
}

/// The arguments of `balloon`.
public struct BalloonArguments: CommandArguments {
    /// How many bytes the guest should keep.
    public var keptBytes: Int

    public init(keptBytes: Int) { self.keptBytes = keptBytes }

    public init(_ reader: inout ArgumentReader) throws(QMPError) {
        keptBytes = try reader.take("value", as: .integer)
        // QEMU's message, which names its internal parameter.
        guard keptBytes > 0 else { throw QMPError("Parameter 'target' expects a size") }
    }

    public var arguments: [String: JSONValue] { ["value": .integer(keptBytes)] }
}

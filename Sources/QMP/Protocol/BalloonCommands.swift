// The commands of a machine with a balloon, under QMP's names.

extension CommandDeclaration<BalloonArguments> {
    /// Asks the guest to keep so much memory.
    public static var balloon: Self { Self("balloon", isBrief: true) }
}

extension CommandDeclaration<NoArguments> {
    /// Answered by a `BalloonInfo`'s `json`.
    public static var queryBalloon: Self { Self("query-balloon", isBrief: true) }
}

/// What `balloon` takes.
public struct BalloonArguments: CommandArguments {
    /// How many bytes the guest keeps.
    public var keptBytes: Int

    public init(keptBytes: Int) { self.keptBytes = keptBytes }

    public init(_ reader: inout ArgumentReader) throws(QMPError) {
        keptBytes = try reader.take("value", as: .integer)
        // QEMU's words, with its inner name.
        guard keptBytes > 0 else { throw QMPError("Parameter 'target' expects a size") }
    }

    public var arguments: [String: JSONValue] { ["value": .integer(keptBytes)] }
}

/// The arguments of a command. The server reads them, and a client writes them.
public protocol CommandArguments: Hashable, Sendable {
    /// Takes them out of a request. Arguments that are left are then refused.
    init(_ reader: inout ArgumentReader) throws(QMPError)

    /// The arguments as they are sent.
    var arguments: [String: JSONValue] { get }
}

extension CommandArguments {
    /// Reads all arguments, and refuses unknown ones.
    package init(reading members: [String: JSONValue]) throws(QMPError) {
        var reader = ArgumentReader(members)
        try self.init(&reader)
        try reader.finish()
    }
}

/// For commands without arguments.
public struct NoArguments: CommandArguments {
    public init() {}
    public init(_ reader: inout ArgumentReader) throws(QMPError) {}
    public var arguments: [String: JSONValue] { [:] }
}

/// What a command's server and clients share: its name, its arguments, and whether it may take long. A new command is declared as a static
/// property of `CommandDeclaration<ItsArguments>`.
public struct CommandDeclaration<Arguments: CommandArguments>: Hashable, Sendable {
    public let name: String
    /// Whether the command returns at once. Such a command is available to all clients, however many are connected.
    public let isBrief: Bool

    public init(_ name: String, isBrief: Bool) { (self.name, self.isBrief) = (name, isBrief) }
}

/// Commands with their implementations. Each capability makes its own set. `add` combines the sets of a machine, which are then served.
///
/// The commands of one client run one after the other, those of different clients at the same time. An implementation runs on a thread of
/// the server, and may block it for seconds if the command is not brief.
public struct CommandSet: Sendable {
    /// A command whose arguments have been checked.
    package struct Prepared: Sendable {
        package let isBrief: Bool
        package let perform: @Sendable () throws(QMPError) -> JSONValue
    }

    private typealias Preparation = @Sendable ([String: JSONValue]) throws(QMPError) -> Prepared
    private var preparations: [String: Preparation] = [:]

    public init() {}

    /// All commands in alphabetical order.
    public var names: [String] { preparations.keys.sorted() }

    /// Registers a command that is answered with a value.
    public mutating func answer<Arguments>(
        _ command: CommandDeclaration<Arguments>,
        with body: @escaping @Sendable (Arguments) throws(QMPError) -> JSONValue
    ) {
        register(command.name) { (members) throws(QMPError) in
            let arguments = try Arguments(reading: members)
            return Prepared(isBrief: command.isBrief) { () throws(QMPError) in try body(arguments) }
        }
    }

    /// Registers a command that is answered with a value and takes no arguments.
    public mutating func answer(
        _ command: CommandDeclaration<NoArguments>,
        with body: @escaping @Sendable () throws(QMPError) -> JSONValue
    ) {
        answer(command) { (_: NoArguments) throws(QMPError) in try body() }
    }

    /// Registers a command whose reply has no value.
    public mutating func perform<Arguments>(
        _ command: CommandDeclaration<Arguments>,
        with body: @escaping @Sendable (Arguments) throws(QMPError) -> Void
    ) {
        answer(command) { (arguments: Arguments) throws(QMPError) in
            try body(arguments)
            return [:]
        }
    }

    /// Registers a command that takes no arguments and whose reply has no value.
    public mutating func perform(
        _ command: CommandDeclaration<NoArguments>,
        with body: @escaping @Sendable () throws(QMPError) -> Void
    ) {
        perform(command) { (_: NoArguments) throws(QMPError) in try body() }
    }

    /// Registers the commands of another capability.
    public mutating func add(_ other: CommandSet) {
        for (name, preparation) in other.preparations { register(name, preparation) }
    }

    private mutating func register(_ name: String, _ preparation: @escaping Preparation) {
        precondition(preparations.updateValue(preparation, forKey: name) == nil, "the command \(name) was registered twice")
    }

    /// Finds a command and checks its arguments.
    package func prepare(_ name: String, _ arguments: [String: JSONValue]) throws(QMPError) -> Prepared {
        guard let preparation = preparations[name] else {
            throw QMPError(.commandNotFound, "The command \(name) has not been found")
        }
        return try preparation(arguments)
    }
}

/// The arguments of a command: the server reads them, a client writes them.
public protocol CommandArguments: Hashable, Sendable {
    /// Takes them out of a request. What is left is refused afterwards.
    init(_ reader: inout ArgumentReader) throws(QMPError)

    /// As they are sent.
    var arguments: [String: JSONValue] { get }
}

extension CommandArguments {
    /// Reads all of them, and refuses what is none.
    package init(reading members: [String: JSONValue]) throws(QMPError) {
        var reader = ArgumentReader(members)
        try self.init(&reader)
        try reader.finish()
    }
}

/// A command that takes none.
public struct NoArguments: CommandArguments {
    public init() {}
    public init(_ reader: inout ArgumentReader) throws(QMPError) {}
    public var arguments: [String: JSONValue] { [:] }
}

/// What a command is called, what it takes, and whether it takes long: what its server and its clients share. Whoever brings a command
/// declares it as a static property of `CommandDeclaration<ItsArguments>`.
public struct CommandDeclaration<Arguments: CommandArguments>: Hashable, Sendable {
    public let name: String
    /// Whether it is done at once: all clients may have it, however many are connected.
    public let isBrief: Bool

    public init(_ name: String, isBrief: Bool) { (self.name, self.isBrief) = (name, isBrief) }
}

/// Commands with what is done for each. A capability makes a set of its own; the sets of a machine are put together with `add`, and
/// served.
///
/// Each client's commands come one after the other, different clients' at the same time. What is done runs on a thread of the server's
/// own, and may block it for seconds where the command is not brief.
public struct CommandSet: Sendable {
    /// A command whose arguments have been checked.
    package struct Prepared: Sendable {
        package let isBrief: Bool
        package let perform: @Sendable () throws(QMPError) -> JSONValue
    }

    private typealias Preparation = @Sendable ([String: JSONValue]) throws(QMPError) -> Prepared
    private var preparations: [String: Preparation] = [:]

    public init() {}

    /// Every command, in the alphabet's order.
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

    /// Registers a command of which there is nothing to say when it is done.
    public mutating func perform<Arguments>(
        _ command: CommandDeclaration<Arguments>,
        with body: @escaping @Sendable (Arguments) throws(QMPError) -> Void
    ) {
        answer(command) { (arguments: Arguments) throws(QMPError) in
            try body(arguments)
            return [:]
        }
    }

    /// Registers a command that takes no arguments, and of which there is nothing to say when it is done.
    public mutating func perform(
        _ command: CommandDeclaration<NoArguments>,
        with body: @escaping @Sendable () throws(QMPError) -> Void
    ) {
        perform(command) { (_: NoArguments) throws(QMPError) in try body() }
    }

    /// Registers what another capability brings.
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

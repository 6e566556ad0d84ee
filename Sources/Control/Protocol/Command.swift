/// What a client may ask of the machine: commands of QMP under QMP's names, and our own.
public enum Command: Hashable, Sendable {
    /// `query-status`. The answer is a `RunState`'s `json`.
    case queryStatus
    /// `stop`
    case stop
    /// `cont`. `force` (ours) runs the guest even if another process may be running it.
    case resume(force: Bool)
    /// `migrate`. Returns when the migration has begun.
    case migrate(uri: String)
    /// `migrate_cancel`. Returns at once. It is no error if there is nothing to cancel.
    case cancelMigration
    /// `migrate-set-parameters`
    case setMigrationParameters(MigrationParameterChanges)
    /// `query-migrate-parameters`
    case queryMigrationParameters
    /// `query-migrate`
    case queryMigration
    /// `pmemsave`: writes guest-physical memory to a file. Without `size` (ours), everything from `address` on.
    case saveMemory(address: UInt64, size: UInt64?, path: String)
    /// `check-guest` (ours): the guest checks its own memory. The answer is a `SelfCheck`.
    case checkGuest
    /// `system_powerdown`: presses the guest's power button.
    case powerDown
    /// `quit`
    case quit

    /// Whether the command is done at once. Every client may use such a command, however many are connected.
    var isBrief: Bool {
        switch self {
        case .queryStatus, .stop, .resume, .cancelMigration, .setMigrationParameters, .queryMigrationParameters, .queryMigration,
            .powerDown,
            .quit:
            true
        case .migrate, .saveMemory, .checkGuest: false
        }
    }
}

/// What a client may ask of the protocol itself. The server answers it.
package enum ProtocolCommand: Hashable, Sendable {
    /// `qmp_capabilities`
    case negotiate(enable: [JSONValue])
    /// `query-version`
    case queryVersion
    /// `query-commands`
    case queryCommands
    /// `query-migrate-capabilities`
    case queryMigrationCapabilities
    /// `migrate-set-capabilities`
    case setMigrationCapabilities([JSONValue])
}

/// A request whose arguments are all checked.
package enum Request: Hashable, Sendable {
    case machine(Command)
    case `protocol`(ProtocolCommand)

    typealias Decoder = @Sendable (inout Arguments) throws(QMPError) -> Request

    /// Every command, by name.
    static let decoders: [String: Decoder] = [
        "qmp_capabilities": { (arguments) throws(QMPError) in
            .protocol(.negotiate(enable: try arguments.takeOptional("enable", as: .array) ?? []))
        },
        "query-version": { _ in .protocol(.queryVersion) },
        "query-commands": { _ in .protocol(.queryCommands) },
        "query-migrate-capabilities": { _ in .protocol(.queryMigrationCapabilities) },
        "migrate-set-capabilities": { (arguments) throws(QMPError) in
            .protocol(.setMigrationCapabilities(try arguments.take("capabilities", as: .array)))
        },
        "query-status": { _ in .machine(.queryStatus) },
        "stop": { _ in .machine(.stop) },
        "cont": { (arguments) throws(QMPError) in
            .machine(.resume(force: try arguments.takeOptional("force", as: .boolean) ?? false))
        },
        "migrate": { (arguments) throws(QMPError) in .machine(try migrate(&arguments)) },
        "migrate_cancel": { _ in .machine(.cancelMigration) },
        "migrate-set-parameters": { (arguments) throws(QMPError) in
            .machine(.setMigrationParameters(try MigrationParameterChanges(&arguments)))
        },
        "query-migrate-parameters": { _ in .machine(.queryMigrationParameters) },
        "query-migrate": { _ in .machine(.queryMigration) },
        "pmemsave": { (arguments) throws(QMPError) in .machine(try saveMemory(&arguments)) },
        "check-guest": { _ in .machine(.checkGuest) },
        "system_powerdown": { _ in .machine(.powerDown) },
        "quit": { _ in .machine(.quit) },
    ]

    package static func decode(_ name: String, _ arguments: [String: JSONValue]) throws(QMPError) -> Request {
        guard let decoder = decoders[name] else {
            throw QMPError(.commandNotFound, "The command \(name) has not been found")
        }
        var arguments = Arguments(arguments)
        let request = try decoder(&arguments)
        try arguments.finish()
        return request
    }

    private static func migrate(_ arguments: inout Arguments) throws(QMPError) -> Command {
        let uri = try arguments.take("uri", as: .string)
        // QEMU ignores `detach` over QMP, and has dropped its block migration. We never had one.
        _ = try arguments.takeOptional("detach", as: .boolean)
        for name in ["blk", "inc"] where try arguments.takeOptional(name, as: .boolean) == true {
            throw QMPError("Parameter '\(name)' is not supported: there are no disks to migrate")
        }
        return .migrate(uri: uri)
    }

    private static func saveMemory(_ arguments: inout Arguments) throws(QMPError) -> Command {
        let path = try arguments.take("filename", as: .string)
        guard let address = try arguments.takeOptionalCount("val") else { throw QMPError("Parameter 'val' is missing") }
        let size = try arguments.takeOptionalCount("size")
        if path.isEmpty || path.contains("\0") { throw QMPError("Parameter 'filename' expects a path") }
        return .saveMemory(address: UInt64(address), size: size.map(UInt64.init), path: path)
    }
}

/// A client's message, split into its parts.
package struct Envelope {
    package let name: String
    package let arguments: [String: JSONValue]

    /// The `id` that the reply must carry, even if the message is refused.
    package static func id(of message: JSONValue) -> JSONValue? { message["id"] }

    package init(_ message: JSONValue) throws(QMPError) {
        guard case .object(let members) = message else { throw QMPError("QMP input must be a JSON object") }
        if let other = members.keys.filter({ !["execute", "arguments", "id"].contains($0) }).min() {
            throw QMPError("QMP input member '\(other)' is unexpected")
        }
        guard let execute = members["execute"] else { throw QMPError("QMP input lacks member 'execute'") }
        guard let name = execute.string else { throw QMPError("QMP input member 'execute' must be a string") }
        switch members["arguments"] {
        case nil: arguments = [:]
        case .object(let arguments): self.arguments = arguments
        default: throw QMPError("QMP input member 'arguments' must be an object")
        }
        self.name = name
    }
}

import AerostatHost

/// What the server tells about itself.
package enum Greeting {
    /// A version in QMP's form. It is Aerostat's version, as the package name says.
    static let version: JSONValue = [
        "qemu": [
            "major": .integer(AerostatVersion.major), "minor": .integer(AerostatVersion.minor), "micro": .integer(AerostatVersion.micro),
        ],
        "package": "Aerostat",
    ]

    /// The first message on a connection. Out-of-band execution is not offered.
    package static let message: JSONValue = ["QMP": ["version": version, "capabilities": []]]
}

extension CommandSet {
    /// Adds the protocol's own commands, which need no machine. The session itself answers `qmp_capabilities`, so it is only listed here.
    package var servingProtocol: CommandSet {
        var all = self
        all.answer(.queryVersion) { Greeting.version }
        all.answer(.queryMigrationCapabilities) { [["capability": "events", "state": true]] }
        all.perform(.setMigrationCapabilities) { (arguments: MigrationCapabilities) throws(QMPError) in try arguments.accept() }
        let names = all.names + [CommandDeclaration.negotiate.name, CommandDeclaration.queryCommands.name]
        all.answer(.queryCommands) { .array(names.sorted().map { ["name": .string($0)] }) }
        return all
    }
}

extension CommandDeclaration<NoArguments> {
    fileprivate static var queryVersion: Self { Self("query-version", isBrief: true) }
    fileprivate static var queryCommands: Self { Self("query-commands", isBrief: true) }
    fileprivate static var queryMigrationCapabilities: Self { Self("query-migrate-capabilities", isBrief: true) }
}

extension CommandDeclaration<Negotiation> {
    /// Must be the first command, and is accepted once.
    package static var negotiate: Self { Self("qmp_capabilities", isBrief: true) }
}

extension CommandDeclaration<MigrationCapabilities> {
    fileprivate static var setMigrationCapabilities: Self { Self("migrate-set-capabilities", isBrief: true) }
}

/// The arguments of `qmp_capabilities`.
package struct Negotiation: CommandArguments {
    /// The capabilities that the client asks for. We have none.
    private let enable: [JSONValue]

    package init(_ reader: inout ArgumentReader) throws(QMPError) { enable = try reader.takeOptional("enable", as: .array) ?? [] }

    package var arguments: [String: JSONValue] { enable.isEmpty ? [:] : ["enable": .array(enable)] }

    /// Refuses capabilities that we do not have.
    package func accept() throws(QMPError) {
        if let capability = enable.first { throw QMPError("This monitor has no capability \(capability.text())") }
    }
}

/// The arguments of `migrate-set-capabilities`.
private struct MigrationCapabilities: CommandArguments {
    private let list: [JSONValue]

    init(_ reader: inout ArgumentReader) throws(QMPError) { list = try reader.take("capabilities", as: .array) }

    var arguments: [String: JSONValue] { ["capabilities": .array(list)] }

    /// We have one of QEMU's migration capabilities, and it is always on.
    func accept() throws(QMPError) {
        for item in list { try Self.accept(item) }
    }

    private static func accept(_ item: JSONValue) throws(QMPError) {
        guard let name = item["capability"]?.string, let state = item["state"]?.bool else {
            throw QMPError("Parameter 'capabilities' expects objects with 'capability' and 'state'")
        }
        switch (name, state) {
        case (_, false) where name != "events": return
        case ("events", true): return
        case ("events", false): throw QMPError("Migration capability 'events' is always on")
        default: throw QMPError("Migration capability '\(name)' is not supported")
        }
    }
}

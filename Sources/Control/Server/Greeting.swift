import AerostatHost

/// What the server says about itself.
enum Greeting {
    /// A version in QMP's form. The numbers are ours, as the package name says.
    static let version: JSONValue = [
        "qemu": [
            "major": .integer(AerostatVersion.major), "minor": .integer(AerostatVersion.minor), "micro": .integer(AerostatVersion.micro),
        ],
        "package": "Aerostat",
    ]

    /// The first message on a connection. Out-of-band execution is not offered.
    static let message: JSONValue = ["QMP": ["version": version, "capabilities": []]]

    /// Answers commands that need no machine.
    static func answer(_ command: ProtocolCommand) throws(QMPError) -> JSONValue {
        switch command {
        case .negotiate: preconditionFailure("the session negotiates")
        case .queryVersion: return version
        case .queryCommands:
            return .array(Request.decoders.keys.sorted().map { ["name": .string($0)] })
        case .queryMigrationCapabilities:
            return [["capability": "events", "state": true]]
        case .setMigrationCapabilities(let list):
            for item in list { try accept(item) }
            return [:]
        }
    }

    /// Of QEMU's migration capabilities we have one, which is always on.
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

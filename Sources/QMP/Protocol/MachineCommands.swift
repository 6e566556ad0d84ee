// The commands of every machine: QMP's under QMP's names, and our own.

extension CommandDeclaration<NoArguments> {
    /// The reply is a `RunState`'s `json`.
    public static var queryStatus: Self { Self("query-status", isBrief: true) }
    /// Stops the guest's processors.
    public static var stop: Self { Self("stop", isBrief: true) }
    /// Returns at once. It is no error if there is nothing to cancel.
    public static var cancelMigration: Self { Self("migrate_cancel", isBrief: true) }
    /// The reply is `MigrationParameters`' `json`.
    public static var queryMigrationParameters: Self { Self("query-migrate-parameters", isBrief: true) }
    /// The reply is a `MigrationReport`'s `json`.
    public static var queryMigration: Self { Self("query-migrate", isBrief: true) }
    /// Ours: the guest checks its own memory. The reply is a `SelfCheck`.
    public static var checkGuest: Self { Self("check-guest", isBrief: false) }
    /// Presses the guest's power button.
    public static var powerDown: Self { Self("system_powerdown", isBrief: true) }
    /// Ends the process.
    public static var quit: Self { Self("quit", isBrief: true) }
}

extension CommandDeclaration<ResumeArguments> {
    /// Lets the guest run.
    public static var resume: Self { Self("cont", isBrief: true) }
}

extension CommandDeclaration<MigrateArguments> {
    /// Returns when the migration has begun.
    public static var migrate: Self { Self("migrate", isBrief: false) }
}

extension CommandDeclaration<MigrationParameterChanges> {
    /// Changes the parameters of later migrations.
    public static var setMigrationParameters: Self { Self("migrate-set-parameters", isBrief: true) }
}

extension CommandDeclaration<SaveMemoryArguments> {
    /// Writes guest-physical memory to a file.
    public static var saveMemory: Self { Self("pmemsave", isBrief: false) }
}

/// The arguments of `cont`.
public struct ResumeArguments: CommandArguments {
    /// Ours: run the guest even if another process may run it.
    public var force: Bool

    public init(force: Bool = false) { self.force = force }

    public init(_ reader: inout ArgumentReader) throws(QMPError) {
        force = try reader.takeOptional("force", as: .boolean) ?? false
    }

    public var arguments: [String: JSONValue] { force ? ["force": true] : [:] }
}

/// The arguments of `migrate`.
public struct MigrateArguments: CommandArguments {
    /// Not parsed yet.
    public var uri: String

    public init(uri: String) { self.uri = uri }

    public init(_ reader: inout ArgumentReader) throws(QMPError) {
        uri = try reader.take("uri", as: .string)
        // QEMU ignores `detach` over QMP, and has removed its block migration. We never had one.
        _ = try reader.takeOptional("detach", as: .boolean)
        for name in ["blk", "inc"] where try reader.takeOptional(name, as: .boolean) == true {
            throw QMPError("Parameter '\(name)' is not supported: there are no disks to migrate")
        }
    }

    public var arguments: [String: JSONValue] { ["uri": .string(uri)] }
}

/// The arguments of `pmemsave`.
public struct SaveMemoryArguments: CommandArguments {
    /// The guest-physical address of the first byte.
    public var address: Int
    /// Ours: if absent, all memory from the address on.
    public var size: Int?
    /// The file to write.
    public var path: String

    public init(address: Int, size: Int? = nil, path: String) { (self.address, self.size, self.path) = (address, size, path) }

    public init(_ reader: inout ArgumentReader) throws(QMPError) {
        path = try reader.take("filename", as: .string)
        guard let address = try reader.takeOptionalCount("val") else { throw QMPError("Parameter 'val' is missing") }
        self.address = address
        size = try reader.takeOptionalCount("size")
        if path.isEmpty || path.contains("\0") { throw QMPError("Parameter 'filename' expects a path") }
    }

    public var arguments: [String: JSONValue] {
        let members: [String: JSONValue?] = ["val": .integer(address), "size": size.map(JSONValue.integer), "filename": .string(path)]
        return members.compactMapValues { $0 }
    }
}

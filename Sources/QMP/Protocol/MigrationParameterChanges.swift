public import AerostatMigration

/// The changes that `migrate-set-parameters` makes. A parameter that is absent stays as it is. Values are checked when they are applied.
public struct MigrationParameterChanges: CommandArguments {
    /// Milliseconds.
    public var downtimeLimit: Int?
    /// Bytes a second; 0 for no limit.
    public var maxBandwidth: Int?
    /// Milliseconds; 0 for no timeout.
    public var timeout: Int?
    public var onTimeout: MigrationParameters.TimeoutAction?
    public var freePageHints: Bool?
    /// Milliseconds.
    public var hintGrace: Int?
    public var verify: Bool?
    public var imageSync: ImageSync?

    public init() {}

    public init(_ reader: inout ArgumentReader) throws(QMPError) {
        downtimeLimit = try reader.takeOptionalCount("downtime-limit")
        maxBandwidth = try reader.takeOptionalCount("max-bandwidth")
        timeout = try reader.takeOptionalCount("timeout")
        onTimeout = try reader.takeOptionalChoice("on-timeout")
        freePageHints = try reader.takeOptional("free-page-hints", as: .boolean)
        hintGrace = try reader.takeOptionalCount("hint-grace")
        verify = try reader.takeOptional("verify", as: .boolean)
        imageSync = try reader.takeOptionalChoice("image-sync")
    }

    public var arguments: [String: JSONValue] {
        let members: [String: JSONValue?] = [
            "downtime-limit": downtimeLimit.map(JSONValue.integer),
            "max-bandwidth": maxBandwidth.map(JSONValue.integer),
            "timeout": timeout.map(JSONValue.integer),
            "on-timeout": onTimeout.map { .string($0.rawValue) },
            "free-page-hints": freePageHints.map(JSONValue.bool),
            "hint-grace": hintGrace.map(JSONValue.integer),
            "verify": verify.map(JSONValue.bool),
            "image-sync": imageSync.map { .string($0.rawValue) },
        ]
        return members.compactMapValues { $0 }
    }

    /// Returns the parameters with the changes made.
    /// - Throws: if a value is out of range. Then nothing changes.
    public func applied(to old: MigrationParameters) throws(QMPError) -> MigrationParameters {
        var new = old
        if let downtimeLimit { new.downtimeLimit = .milliseconds(downtimeLimit) }
        if let maxBandwidth { new.bandwidthLimit = maxBandwidth == 0 ? nil : maxBandwidth }
        if let timeout { new.timeout = timeout == 0 ? nil : .milliseconds(timeout) }
        if let onTimeout { new.onTimeout = onTimeout }
        if let freePageHints { new.usesHints = freePageHints }
        if let hintGrace { new.hintGrace = .milliseconds(hintGrace) }
        if let verify { new.verifies = verify }
        if let imageSync { new.imageSync = imageSync }
        do throws(MigrationParameters.OutOfRange) {
            try new.validate()
        } catch {
            throw QMPError(error.description)
        }
        return new
    }
}

extension MigrationParameters {
    /// The answer to `query-migrate-parameters`, with the names and units that `migrate-set-parameters` takes.
    public var json: JSONValue {
        [
            "downtime-limit": .integer(downtimeLimit.milliseconds),
            "max-bandwidth": .integer(bandwidthLimit ?? 0),
            "timeout": .integer(timeout?.milliseconds ?? 0),
            "on-timeout": .string(onTimeout.rawValue),
            "free-page-hints": .bool(usesHints),
            "hint-grace": .integer(hintGrace.milliseconds),
            "verify": .bool(verifies),
            "image-sync": .string(imageSync.rawValue),
        ]
    }
}

extension Duration {
    /// Whole milliseconds, rounded towards zero.
    package var milliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds * 1000 + attoseconds / 1_000_000_000_000_000)
    }

    /// Whole milliseconds, rounded up: any positive time is at least 1.
    package var millisecondsRoundedUp: Int {
        let whole = milliseconds
        return self > .milliseconds(whole) ? whole + 1 : whole
    }
}

public import AerostatMigration
import FoundationEssentials

/// What the server tells every client without being asked.
public enum Event: Hashable, Sendable {
    /// The guest was paused.
    case stop
    /// The guest runs.
    case resume
    case migration(MigrationReport.Status)
    /// A round of precopy has begun; the first is 1.
    case migrationPass(Int)
    /// Somebody pressed the guest's power button.
    case powerDown
    /// The guest or the process ends. `guest` says whether the guest asked for it.
    case shutdown(guest: Bool, reason: String)
    /// An event of a capability, with its own name and data.
    case other(String, data: JSONValue?)

    /// The QMP message.
    /// - Parameter date: seconds since 1970.
    package func message(at date: Double) -> JSONValue {
        let microseconds = Int((date * 1_000_000).rounded(.down))
        var members: [String: JSONValue] = [
            "timestamp": ["seconds": .integer(microseconds / 1_000_000), "microseconds": .integer(microseconds % 1_000_000)]
        ]
        switch self {
        case .stop: members["event"] = "STOP"
        case .resume: members["event"] = "RESUME"
        case .migration(let status):
            members["event"] = "MIGRATION"
            members["data"] = ["status": .string(status.rawValue)]
        case .migrationPass(let pass):
            members["event"] = "MIGRATION_PASS"
            members["data"] = ["pass": .integer(pass)]
        case .powerDown: members["event"] = "POWERDOWN"
        case .shutdown(let guest, let reason):
            members["event"] = "SHUTDOWN"
            members["data"] = ["guest": .bool(guest), "reason": .string(reason)]
        case .other(let name, let data):
            members["event"] = .string(name)
            members["data"] = data
        }
        return .object(members)
    }

    /// Reads a message; `nil` if it is no event, or lacks data that such an event must have.
    package init?(message: JSONValue) {
        let data = message["data"]
        switch message["event"]?.string {
        case "STOP": self = .stop
        case "RESUME": self = .resume
        case "MIGRATION":
            guard let status = (data?["status"]?.string).flatMap(MigrationReport.Status.init) else { return nil }
            self = .migration(status)
        case "MIGRATION_PASS":
            guard let pass = data?["pass"]?.integer else { return nil }
            self = .migrationPass(pass)
        case "POWERDOWN": self = .powerDown
        case "SHUTDOWN":
            guard let guest = data?["guest"]?.bool, let reason = data?["reason"]?.string else { return nil }
            self = .shutdown(guest: guest, reason: reason)
        case let name?: self = .other(name, data: data)
        case nil: return nil
        }
    }

    /// The wall clock, for the timestamp.
    package static func now() -> Double { Date().timeIntervalSince1970 }
}

/// A refused command, in QMP's form.
public struct QMPError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The error classes of QMP that this server uses.
    public enum Class: String, Hashable, Sendable {
        case generic = "GenericError"
        case commandNotFound = "CommandNotFound"
        case deviceNotFound = "DeviceNotFound"
        case deviceNotActive = "DeviceNotActive"
    }

    public let `class`: Class
    /// For people.
    public let description: String

    /// A `GenericError`.
    public init(_ description: String) { self.init(.generic, description) }

    public init(_ class: Class, _ description: String) {
        self.class = `class`
        self.description = description
    }

    package var json: JSONValue {
        ["class": .string(self.class.rawValue), "desc": .string(description)]
    }
}

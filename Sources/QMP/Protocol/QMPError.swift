/// A command that was refused, as QMP says it.
public struct QMPError: Error, Hashable, Sendable, CustomStringConvertible {
    /// QMP's classes of errors, as far as this server uses them.
    public enum Class: String, Hashable, Sendable {
        case generic = "GenericError"
        case commandNotFound = "CommandNotFound"
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

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

/// The arguments of one request. Each is taken out by its name; errors use QEMU's words. Arguments that nobody took are refused.
public struct ArgumentReader {
    private var members: [String: JSONValue]

    init(_ members: [String: JSONValue]) { self.members = members }

    /// Refuses the arguments that nobody took.
    func finish() throws(QMPError) {
        if let name = members.keys.min() { throw QMPError("Parameter '\(name)' is unexpected") }
    }

    /// An argument that must be there.
    public mutating func take<Value>(_ name: String, as type: ArgumentType<Value>) throws(QMPError) -> Value {
        guard let value = try takeOptional(name, as: type) else { throw QMPError("Parameter '\(name)' is missing") }
        return value
    }

    /// An argument that may be there.
    public mutating func takeOptional<Value>(_ name: String, as type: ArgumentType<Value>) throws(QMPError) -> Value? {
        guard let json = members.removeValue(forKey: name) else { return nil }
        guard let value = type.read(json) else {
            throw QMPError("Invalid parameter type for '\(name)', expected: \(type.name)")
        }
        return value
    }

    /// Takes a count. A negative number is refused.
    public mutating func takeOptionalCount(_ name: String) throws(QMPError) -> Int? {
        guard let value = try takeOptional(name, as: .integer) else { return nil }
        guard value >= 0 else { throw QMPError("Parameter '\(name)' expects a number that is not negative") }
        return value
    }

    /// Takes one of a few words.
    public mutating func takeOptionalChoice<Choice: RawRepresentable<String>>(_ name: String) throws(QMPError) -> Choice? {
        guard let word = try takeOptional(name, as: .string) else { return nil }
        guard let choice = Choice(rawValue: word) else { throw QMPError("Parameter '\(name)' does not accept value '\(word)'") }
        return choice
    }
}

/// How to convert a JSON value into an argument, and the type's name in QEMU's errors.
public struct ArgumentType<Value>: Sendable {
    let name: String
    let read: @Sendable (JSONValue) -> Value?
}

extension ArgumentType<String> {
    /// A text.
    public static var string: Self { Self(name: "string") { $0.string } }
}
extension ArgumentType<Int> {
    /// A number without a fraction that fits 64 bits.
    public static var integer: Self { Self(name: "integer") { $0.integer } }
}
extension ArgumentType<Bool> {
    /// True or false.
    public static var boolean: Self { Self(name: "boolean") { $0.bool } }
}
extension ArgumentType<[JSONValue]> {
    /// An array of anything.
    public static var array: Self { Self(name: "array") { $0.array } }
}
extension ArgumentType<JSONValue> {
    /// Anything.
    public static var any: Self { Self(name: "any") { $0 } }
}

/// A JSON document. A number that was read is written again as it came.
public enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    /// Finite, always.
    case number(Double)
    /// A number whose text neither an integer nor a double would give back: `12345678901234567890`, `1e2`, `-0`. In JSON's grammar, always.
    case numeral(String)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The member of that name, where this is an object that has it.
    public subscript(_ name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members[name]
    }

    /// The string, where this is one.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The integer, where this is one and fits 64 bits.
    public var integer: Int? {
        switch self {
        case .integer(let value): value
        // Only `-0` is an integer that fits.
        case .numeral(let text): Int(text)
        default: nil
        }
    }

    /// The boolean, where this is one.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The array's elements, where this is one.
    public var array: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }
}

extension JSONValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(stringLiteral value: String) { self = .string(value) }
}

extension JSONValue: ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(uniqueKeysWithValues: elements))
    }
}

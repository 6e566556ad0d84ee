import AerostatHost

/// Encodes terms of AML, the language in which ACPI describes devices (ACPI 6.5, chapter 20). A term list is its terms, one after the
/// other.
package enum AML {
    package typealias Term = [UInt8]

    // MARK: Values

    package static let local0: Term = [0x60]

    package static func integer(_ value: some UnsignedInteger & FixedWidthInteger) -> Term {
        let value = UInt64(value)
        func bytes(_ prefix: UInt8, _ count: UInt64) -> Term { [prefix] + (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
        return switch value {
        case 0, 1: [UInt8(value)]
        case ...0xFF: bytes(0x0A, 1)
        case ...0xFFFF: bytes(0x0B, 2)
        case ...0xFFFF_FFFF: bytes(0x0C, 4)
        default: bytes(0x0E, 8)
        }
    }

    /// - Parameter text: ASCII.
    package static func string(_ text: String) -> Term { [0x0D] + Array(text.utf8) + [0] }

    /// An identifier that the standard compresses into an integer: three letters and four hexadecimal digits, such as "PNP0501".
    package static func compressedID(_ text: String) -> Term {
        let characters = Array(text.utf8)
        guard characters.count == 7, let number = UInt16(text.dropFirst(3), radix: 16) else {
            preconditionFailure("no identifier: \(text)")
        }
        let letters = characters.prefix(3).reduce(UInt16(0)) { $0 << 5 | UInt16($1 - 0x40) }
        return integer(UInt32(letters.byteSwapped) | UInt32(number.byteSwapped) << 16)
    }

    package static func package(_ elements: [Term]) -> Term { [0x12] + sized([UInt8(elements.count)] + elements.joined()) }

    /// The resources that a device uses.
    package static func resources(_ descriptors: [AMLResource]) -> Term {
        let endTag: [UInt8] = [0x79, 0]  // with the checksum left out
        let bytes = descriptors.flatMap(\.bytes) + endTag
        return [0x11] + sized(integer(UInt32(bytes.count)) + bytes)
    }

    // MARK: Names

    /// "_SB_", "\_SB_.PWRB": segments of four characters. Shorter ones are filled up with underscores.
    package static func path(_ text: String) -> Term {
        let isAbsolute = text.hasPrefix("\\")
        let segments = text.drop { $0 == "\\" }.split(separator: ".").map { segment in
            precondition(segment.utf8.count <= 4, "no name segment: \(segment)")
            return Array(segment.utf8) + Array(repeating: UInt8(ascii: "_"), count: 4 - segment.utf8.count)
        }
        let prefix: [UInt8] =
            switch segments.count {
            case 1: []
            case 2: [0x2E]
            default: [0x2F, UInt8(segments.count)]
            }
        return (isAbsolute ? [UInt8(ascii: "\\")] : []) + prefix + segments.joined()
    }

    package static func name(_ name: String, _ value: Term) -> Term { [0x08] + path(name) + value }
    package static func scope(_ name: String, _ terms: Term...) -> Term { [0x10] + sized(path(name) + terms.joined()) }
    package static func device(_ name: String, _ terms: Term...) -> Term { [0x5B, 0x82] + sized(path(name) + terms.joined()) }

    package static func method(_ name: String, arguments: UInt8, _ terms: Term...) -> Term {
        let serialized: UInt8 = 1 << 3
        return [0x14] + sized(path(name) + [arguments | serialized] + terms.joined())
    }

    /// Some I/O ports, with a name for each of them as a field of one byte.
    package static func ports(_ name: String, from port: UInt16, _ fields: String...) -> Term {
        let (systemIO, byteAccess): (UInt8, UInt8) = (1, 1)
        let list: Term = fields.reduce([]) { $0 + path($1) + [8] }
        let region: Term = [0x5B, 0x80] + path(name) + [systemIO] + integer(port) + integer(UInt8(fields.count))
        return region + [0x5B, 0x81] + sized(path(name) + [byteAccess] + list)
    }

    // MARK: Statements

    package static func store(_ value: Term, in target: Term) -> Term { [0x70] + value + target }
    package static func and(_ first: Term, _ second: Term) -> Term { [0x7B] + first + second + [0] }
    package static func ifNonzero(_ condition: Term, _ terms: Term...) -> Term { [0xA0] + sized(condition + terms.joined()) }
    package static func notify(_ device: String, _ value: UInt8) -> Term { [0x86] + path(device) + integer(value) }

    /// Content behind its length, which counts its own bytes too (section 20.2.4).
    private static func sized(_ content: Term) -> Term {
        guard content.count + 1 > 0x3F else { return [UInt8(content.count + 1)] + content }
        guard let more = (1...3).first(where: { content.count + 1 + $0 < 1 << (4 + 8 * $0) }) else {
            preconditionFailure("a term of \(content.count) bytes")
        }
        let length = content.count + 1 + more
        let lead = UInt8(more << 6 | length & 0xF)
        return [lead] + (0..<more).map { UInt8(truncatingIfNeeded: length >> (4 + 8 * $0)) } + content
    }
}

/// A resource that a device uses (ACPI 6.5, section 6.4).
package enum AMLResource: Hashable, Sendable {
    /// Registers in memory.
    case memory(base: UInt32, byteCount: UInt32)
    case ports(base: UInt16, count: UInt8)
    /// An edge-triggered interrupt that no other device shares.
    case interrupt(UInt32)

    var bytes: [UInt8] {
        var result = FieldBytes([])
        switch self {
        case .memory(let base, let byteCount):
            let isWritable: UInt8 = 1
            result.append([0x86, 9, 0, isWritable])
            result.append(base)
            result.append(byteCount)
        case .ports(let base, let count):
            let decodes16Bits: UInt8 = 1
            result.append([0x47, decodes16Bits])
            result.append(base)
            result.append(base)
            result.append([1, count])
        case .interrupt(let number):
            let (consumer, edge): (UInt8, UInt8) = (1, 1 << 1)
            result.append([0x89, 6, 0, consumer | edge, 1])
            result.append(number)
        }
        return result.bytes
    }
}

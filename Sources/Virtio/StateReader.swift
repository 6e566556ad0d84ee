package import AerostatHost

/// Why saved device state is not acceptable. It is foreign input.
public enum DeviceStateError: Error, Hashable, Sendable, CustomStringConvertible {
    case missing(section: String)
    case version(UInt32)
    /// The bytes end in the middle of a field.
    case truncated(field: String, offset: Int)
    /// Bytes are left over.
    case trailing(byteCount: Int)
    case value(field: String, UInt64)
    case queue(index: Int, VirtqueueError)

    public var description: String {
        switch self {
        case .missing(let section): "the device state has no section \(section)"
        case .version(let version): "device state of version \(version) is not known"
        case .truncated(let field, let offset): "device state ends in \(field) at byte \(offset)"
        case .trailing(let count): "device state has \(count) bytes too many"
        case .value(let field, let value): "device state has an impossible \(field): \(value)"
        case .queue(let index, let error): "device state, queue \(index): \(error)"
        }
    }
}

extension DeviceStateError: FieldReadingError {
    package static func limit(field: String, value: UInt64, maximum: UInt64) -> DeviceStateError { .value(field: field, value) }
}

/// Reads saved device state.
package typealias StateReader = FieldReader<DeviceStateError>

// A queue's position: a flag, then the two indices, which are zero if there is no queue.
extension FieldBytes {
    package mutating func append(_ position: VirtqueuePosition?) {
        append(position != nil)
        append(position?.nextAvailable ?? 0)
        append(position?.nextUsed ?? 0)
    }
}

extension StateReader {
    package mutating func takePosition() throws(DeviceStateError) -> VirtqueuePosition? {
        let isPresent = try takeFlag("queue position")
        let position = VirtqueuePosition(nextAvailable: try take("next available"), nextUsed: try take("next used"))
        return isPresent ? position : nil
    }
}

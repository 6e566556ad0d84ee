import Glibc
public import SystemPackage

/// A failed system call: the operation, its object, and the kernel's error code.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was attempted, in words a person can act on ("bind the port", "map guest memory").
    public let operation: String
    /// The object of the operation: a path, an address, a size. Empty if there is none.
    public let place: String
    /// The kernel's error number.
    public let code: Errno

    public init(_ operation: String, place: String = "", code: Errno) {
        self.operation = operation
        self.place = place
        self.code = code
    }

    /// The calling thread's current `errno` as an error.
    package static func current(_ operation: String, place: String = "") -> SystemError {
        SystemError(operation, place: place, code: Errno(rawValue: errno))
    }

    public var description: String {
        place.isEmpty ? "could not \(operation): \(code)" : "could not \(operation) (\(place)): \(code)"
    }
}

/// Calls `body` again while a signal interrupts it. A negative result becomes a typed error.
@discardableResult
package func retryingInterrupts<Result: SignedInteger>(
    _ operation: @autoclosure () -> String,
    place: @autoclosure () -> String = "",
    _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = body()
        if result >= 0 { return result }
        let code = Errno(rawValue: errno)
        if code != .interrupted { throw SystemError(operation(), place: place(), code: code) }
    }
}

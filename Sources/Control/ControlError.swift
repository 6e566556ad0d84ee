import AerostatHost
public import AerostatQMP
import Glibc
import NIOCore
import NIOPosix
import SystemPackage

/// Why the control socket cannot be served or spoken to.
public enum ControlError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A unix socket's path may have 107 bytes.
    case pathTooLong(String)
    /// An empty text, which the kernel would take for a socket without a path, or a text with a zero byte.
    case noPath(String)
    /// Somebody listens on the path already.
    case inUse(String)
    case cannotListen(String, reason: String)
    case cannotConnect(String, reason: String)
    /// Nobody listens on the path.
    case noListener(String)
    /// The process that listens there does not speak QMP.
    case notQMP(String, reason: String)
    case timedOut(String, seconds: Int)
    /// The server closed the connection and said why.
    case sentAway(String, reason: String)
    /// The connection ended before the answer arrived.
    case connectionLost(String)
    case refused(command: String, QMPError)
    /// The answer is not what the command promises.
    case unexpectedAnswer(command: String)

    public var description: String {
        switch self {
        case .pathTooLong(let path): "the control socket's path is longer than \(SocketAddress.maximumPathBytes) bytes: \(path)"
        case .noPath(let text):
            text.isEmpty
                ? "the control socket needs a path, not an empty text"
                : "the control socket's path holds a zero byte: \(text.prefix { $0 != "\0" })..."
        case .inUse(let path): "another process listens on the control socket \(path); choose another path, or end that process"
        case .cannotListen(let path, let reason): "could not listen on the control socket \(path): \(reason)"
        case .cannotConnect(let path, let reason): "could not connect to the control socket \(path): \(reason)"
        case .noListener(let path): "no guest listens on \(path)"
        case .notQMP(let path, let reason): "\(path) does not speak QMP: \(reason)"
        case .sentAway(let path, let reason): "the process behind \(path) ended the connection: \(reason)"
        case .timedOut(let what, let seconds): "\(what): no answer within \(seconds) s"
        case .connectionLost(let path): "the process behind \(path) closed the connection, or has ended"
        // People typed a command of Aerostat, not one of QMP, so QMP's name is left out.
        case .refused(_, let error): "the guest's process refused: \(error)"
        case .unexpectedAnswer(let command): "the answer to \(command) does not have the promised form"
        }
    }

    /// Refuses what cannot be a socket's path. Server and client use the same words.
    package static func check(path: String) throws(ControlError) {
        if path.isEmpty || path.utf8.contains(0) { throw .noPath(path) }
        if path.utf8.count > SocketAddress.maximumPathBytes { throw .pathTooLong(path) }
    }

    /// The cause in a few words.
    static func reason(_ error: any Error) -> String {
        guard let code = errorNumber(error) else { return "\(error)" }
        return switch code {
        case ENOENT: "its folder does not exist"
        case ENOTDIR: "a part of the path is not a folder"
        case EACCES, EPERM: "permission denied"
        case EROFS: "the file system is read-only"
        case EADDRINUSE: "the path exists and is not a socket"
        case ENOTSOCK, EPROTOTYPE: "not a stream socket"
        default: "\(error)"
        }
    }

    static func errorNumber(_ error: any Error) -> CInt? {
        if let error = error as? IOError { return error.errnoCode }
        if let error = error as? SystemError { return error.code.rawValue }
        if let failure = error as? NIOConnectionError { return failure.connectionErrors.lazy.compactMap { errorNumber($0.error) }.first }
        return nil
    }
}

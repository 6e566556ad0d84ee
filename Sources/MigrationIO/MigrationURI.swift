public import AerostatHost

/// The target or the source of a migration.
public enum MigrationURI: Hashable, Sendable, CustomStringConvertible {
    case socket(SocketAddress)
    /// A connected stream socket that this process inherited.
    case descriptor(Int32)
    /// A guest image.
    case file(path: String)

    /// The text is not a migration URI.
    public struct ParseError: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Reads `tcp:HOST:PORT`, `unix:PATH`, `fd:N` or `file:PATH`. An IPv6 address is written in brackets.
    public init(_ text: String) throws(ParseError) {
        func failure(_ why: String) -> ParseError {
            ParseError(description: "'\(text)' is not a migration URI: \(why); use tcp:HOST:PORT, unix:PATH, fd:N or file:PATH")
        }
        guard let colon = text.firstIndex(of: ":") else { throw failure("no scheme") }
        let rest = text[text.index(after: colon)...]
        guard !text.utf8.contains(0) else { throw failure("it holds a zero byte") }
        switch text[..<colon] {
        case "tcp":
            guard let last = rest.lastIndex(of: ":") else { throw failure("no port") }
            let digits = rest[rest.index(after: last)...]
            guard let port = UInt16(digits), digits.allSatisfy(\.isNumber) else { throw failure("'\(digits)' is not a port") }
            var host = rest[..<last]
            if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
            guard !host.contains(where: { "[]".contains($0) }) else { throw failure("'\(host)' is not a host") }
            self = .socket(.tcp(host: String(host), port: port))
        case "unix":
            guard !rest.isEmpty else { throw failure("no path") }
            guard rest.utf8.count <= SocketAddress.maximumPathBytes else {
                throw failure("the path is longer than \(SocketAddress.maximumPathBytes) bytes")
            }
            self = .socket(.unix(path: String(rest)))
        case "fd":
            guard let number = Int32(rest), number >= 0 else { throw failure("'\(rest)' is not a descriptor") }
            self = .descriptor(number)
        case "file":
            guard !rest.isEmpty else { throw failure("no path") }
            self = .file(path: String(rest))
        default:
            throw failure("unknown scheme")
        }
    }

    public var description: String {
        switch self {
        case .socket(let address): "\(address)"
        case .descriptor(let number): "fd:\(number)"
        case .file(let path): "file:\(path)"
        }
    }
}

import AerostatHost
import ArgumentParser

/// Where a guest's console is, as named by `--console`.
enum ConsolePlace: Hashable, Sendable {
    /// Standard input and output.
    case stdio
    /// A socket that this process serves, to one client at a time.
    case unix(path: String)
    /// A file that receives the guest's output. The guest gets no input.
    case file(path: String)
    case none

    init(_ text: String) throws(ValidationError) {
        func failure(_ why: String) -> ValidationError {
            ValidationError("'\(text)' is not a place for a console: \(why); use stdio, unix:PATH, file:PATH or none")
        }
        switch text {
        case "stdio": self = .stdio
        case "none": self = .none
        default:
            guard let colon = text.firstIndex(of: ":"), ["unix", "file"].contains(text[..<colon]) else { throw failure("unknown kind") }
            let path = String(text[text.index(after: colon)...])
            guard !path.isEmpty else { throw failure("no path") }
            if text.hasPrefix("file:") {
                self = .file(path: path)
            } else {
                guard path.utf8.count <= SocketAddress.maximumPathBytes else {
                    throw failure("the path is longer than \(SocketAddress.maximumPathBytes) bytes")
                }
                self = .unix(path: path)
            }
        }
    }
}

import ArgumentParser

/// Where a guest's console is, as named by `--console`.
enum ConsolePlace: Hashable, Sendable, ExpressibleByArgument {
    /// Standard input and output.
    case stdio
    /// A socket that this process serves, to one client at a time.
    case unix(path: String)
    /// A file that takes what the guest says; nothing is said to the guest.
    case file(path: String)
    case none

    init?(argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1).map(String.init)
        switch (parts.first, parts.count) {
        case ("stdio", 1): self = .stdio
        case ("none", 1): self = .none
        case ("unix", 2): self = .unix(path: parts[1])
        case ("file", 2): self = .file(path: parts[1])
        default: return nil
        }
    }
}

/// The meaning of keys on a console. All of them go to the guest, except Ctrl-A and the key after it.
///
///     Ctrl-A x          ends the process
///     Ctrl-A h          shows these keys
///     Ctrl-A Ctrl-A     sends a Ctrl-A to the guest; so does Ctrl-A a
public struct ConsoleKeys: Hashable, Sendable {
    /// The meaning of pressed keys.
    public enum Meaning: Hashable, Sendable {
        case input([UInt8])
        case quit
        case help
    }

    /// Ctrl-A, as on QEMU's consoles.
    public static let escape: UInt8 = 0x01

    private var isEscaped = false

    public init() {}

    /// - Returns: the meanings of the keys, in order. No piece of input is empty.
    public mutating func read(_ keys: some Sequence<UInt8>) -> [Meaning] {
        var meanings: [Meaning] = []
        var input: [UInt8] = []
        func take(_ meaning: Meaning) {
            if !input.isEmpty { meanings.append(.input(input)) }
            input = []
            meanings.append(meaning)
        }
        for key in keys {
            guard isEscaped else {
                if key == Self.escape { isEscaped = true } else { input.append(key) }
                continue
            }
            isEscaped = false
            switch key {
            case Self.escape, UInt8(ascii: "a"): input.append(Self.escape)
            case UInt8(ascii: "x"): take(.quit)
            case UInt8(ascii: "h"), UInt8(ascii: "?"): take(.help)
            default: break
            }
        }
        if !input.isEmpty { meanings.append(.input(input)) }
        return meanings
    }
}

import AerostatHost
import Glibc
import Testing

@Suite struct ConsoleKeysTests {
    private static let escape = ConsoleKeys.escape

    @Test(
        arguments: [
            ([0x6C, 0x73, 0x0D], [.input([0x6C, 0x73, 0x0D])]),
            ([0x03, 0x1C, 0x04], [.input([0x03, 0x1C, 0x04])]),
            ([escape, 0x78], [.quit]),
            ([0x61, escape, 0x68, 0x62], [.input([0x61]), .help, .input([0x62])]),
            ([escape, escape, escape, 0x61, 0x78], [.input([escape, escape, 0x78])]),
            ([escape, 0x71, 0x78], [.input([0x78])]),
            ([], []),
        ] as [([UInt8], [ConsoleKeys.Meaning])]
    )
    func `Ctrl-A and the key after it are for the console, all else is for the guest`(keys: [UInt8], expected: [ConsoleKeys.Meaning]) {
        var console = ConsoleKeys()
        #expect(console.read(keys) == expected)
        // One key at a time, they mean the same.
        var slow = ConsoleKeys()
        var input: [UInt8] = []
        var rest: [ConsoleKeys.Meaning] = []
        for meaning in keys.flatMap({ slow.read([$0]) }) {
            if case .input(let bytes) = meaning { input += bytes } else { rest.append(meaning) }
        }
        #expect(input == expected.flatMap { if case .input(let bytes) = $0 { bytes } else { [UInt8]() } })
        #expect(rest == expected.filter { if case .input = $0 { false } else { true } })
    }
}

@Suite struct RawTerminalTests {
    private func mode(_ terminal: Int32) -> termios {
        var mode = termios()
        #expect(unsafe tcgetattr(terminal, &mode) == 0)
        return mode
    }

    @Test func `A raw terminal delivers every key at once, and gets its own mode back afterwards`() throws {
        var (near, far) = (Int32(-1), Int32(-1))
        try #require(unsafe openpty(&near, &far, nil, nil, nil) == 0)
        defer { for number in [near, far] { close(number) } }
        let before = mode(far)
        #expect(before.c_lflag & tcflag_t(ECHO | ICANON | ISIG) != 0 && RawTerminal.isInteractive(far))
        do {
            let raw = try RawTerminal(far)
            #expect(mode(far).c_lflag & tcflag_t(ECHO | ICANON | ISIG) == 0)
            let keys: [UInt8] = [0x03, 0x1A, 0x0D, 0x7F]
            #expect(unsafe write(near, keys, keys.count) == keys.count)
            var bytes = [UInt8](repeating: 0, count: 16)
            #expect(unsafe read(far, &bytes, bytes.count) == keys.count && Array(bytes[..<keys.count]) == keys)
            // Does what a shell does while the process is stopped.
            var cooked = before
            #expect(unsafe tcsetattr(far, TCSANOW, &cooked) == 0)
            RawTerminal.reapply()
            #expect(mode(far).c_lflag & tcflag_t(ECHO | ICANON | ISIG) == 0)
            withExtendedLifetime(raw) {}
        }
        let after = mode(far)
        #expect(after.c_lflag == before.c_lflag && after.c_iflag == before.c_iflag && after.c_oflag == before.c_oflag)
        RawTerminal.reapply()
        #expect(mode(far).c_lflag == before.c_lflag, "raw mode was applied again after its end")
    }

    @Test func `A pipe is not a terminal`() throws {
        var ends: [Int32] = [-1, -1]
        try #require(unsafe Glibc.pipe(&ends) == 0)
        defer { for number in ends { close(number) } }
        #expect(!RawTerminal.isInteractive(ends[0]))
        #expect(throws: SystemError.self) { _ = try RawTerminal(ends[0]) }
    }
}

import AerostatHost
import Glibc
import Synchronization
import SystemPackage
import Testing

/// A pipe that may be full, or without a reader.
private final class TestPipe: Sendable {
    private let reader: Mutex<OwnedDescriptor?>
    private let writer: OwnedDescriptor

    init() throws {
        var ends: [Int32] = [-1, -1]
        try #require(unsafe pipe(&ends) == 0)
        reader = Mutex(OwnedDescriptor(adopting: ends[0]))
        writer = OwnedDescriptor(adopting: ends[1])
    }

    var input: Int32 { writer.number }

    func setBlocking(_ blocks: Bool) { _ = fcntl(input, F_SETFL, blocks ? 0 : O_NONBLOCK) }

    /// Fills the pipe. - Returns: how many bytes that took.
    func fill() -> Int {
        setBlocking(false)
        defer { setBlocking(true) }
        let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
        var total = 0
        while true {
            let count = unsafe write(input, piece, piece.count)
            if count <= 0 { return total }
            total += count
        }
    }

    func closeReader() { reader.withLock { $0 = nil } }

    /// Reads exactly this many bytes, however long it takes.
    func read(_ byteCount: Int) -> [UInt8] {
        let number = reader.withLock { $0?.number ?? -1 }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < byteCount {
            let count = unsafe Glibc.read(number, &buffer, min(buffer.count, byteCount - bytes.count))
            if count <= 0 { return bytes }
            bytes += buffer[..<count]
        }
        return bytes
    }

    /// Reads lines until the given one arrives.
    func lines(through last: String) -> [String] {
        var lines: [String] = []
        var line: [UInt8] = []
        while lines.last != last {
            let byte = read(1)
            if byte.isEmpty { return lines }
            if byte == [0x0A] {
                lines.append(String(decoding: line, as: UTF8.self))
                line = []
            } else {
                line += byte
            }
        }
        return lines
    }
}

@Suite struct StandardStreamTests {
    init() { signal(SIGPIPE, SIG_IGN) }

    @Test func `A text that does not fit into the stream is written completely for a late reader`() throws {
        let pipe = try TestPipe()
        let text = String(repeating: "0123456789abcdef", count: 20_000)
        let result = Monitor<Bool?>(nil)
        let thread = try HostThread(name: "writer") {
            let isWritten = (try? StandardStream(pipe.input, name: "the pipe").write(text, patience: .seconds(20))) != nil
            result.update { $0 = isWritten }
        }
        #expect(String(decoding: pipe.read(text.utf8.count), as: UTF8.self) == text)
        thread.join()
        #expect(result.withLock(\.self) == true)
    }

    @Test(arguments: [true, false])
    func `A stream that nobody reads is an error after a while, whether it blocks or not`(blocks: Bool) throws {
        let pipe = try TestPipe()
        _ = pipe.fill()
        pipe.setBlocking(blocks)
        let start = MonotonicClock.now()
        #expect(throws: StandardStream.Failure.unread(stream: "the pipe", for: .milliseconds(30))) {
            try StandardStream(pipe.input, name: "the pipe").write("lost", patience: .milliseconds(30))
        }
        #expect(throws: StandardStream.Failure.unread(stream: "the pipe", for: .zero)) {
            try StandardStream(pipe.input, name: "the pipe").write("lost", patience: .zero)
        }
        #expect(start.duration(to: MonotonicClock.now()) < .seconds(5))
    }

    @Test func `A stream without a reader, a closed one and a full disk are errors, and not the end of the process`() throws {
        let pipe = try TestPipe()
        pipe.closeReader()
        #expect(throws: StandardStream.Failure.system(stream: "the pipe", .brokenPipe)) {
            try StandardStream(pipe.input, name: "the pipe").write("lost")
        }
        #expect(throws: StandardStream.Failure.system(stream: "nothing", .badFileDescriptor)) {
            try StandardStream(1_000_000, name: "nothing").write("lost")
        }
        let disk = try OwnedDescriptor.open("/dev/full", flags: O_WRONLY)
        #expect(throws: StandardStream.Failure.system(stream: "the disk", .noSpace)) {
            try StandardStream(disk.number, name: "the disk").write("lost")
        }
    }
}

@Suite struct LineWriterTests {
    private func writer(_ pipe: TestPipe, lines: Int = 1024, bytes: Int = 1 << 20) -> LineWriter {
        LineWriter(to: pipe.input, limits: LineWriter.Limits(lines: lines, bytes: bytes)) { "\($0) lost" }
    }

    @Test func `Lines are written in order, and flushing waits for them`() throws {
        let pipe = try TestPipe()
        let writer = writer(pipe)
        for number in 1...50 { writer.put("\(number)\n") }
        #expect(writer.flush(within: .seconds(10)))
        #expect(pipe.lines(through: "50") == (1...50).map { "\($0)" })
    }

    @Test func `Logging never waits for a log that nobody reads; lines without room are lost, counted, and reported later`() throws {
        let pipe = try TestPipe()
        let filling = pipe.fill()
        let writer = writer(pipe, lines: 10)
        // The thread takes it, and waits in its write.
        writer.put("0\n")
        while writer.waitingLines > 0 { HostThread.sleep(for: .milliseconds(1)) }
        let start = MonotonicClock.now()
        for number in 1...1000 { writer.put("\(number)\n") }
        #expect(!writer.flush(within: .milliseconds(20)))
        #expect(start.duration(to: MonotonicClock.now()) < .seconds(5))

        _ = pipe.read(filling)
        #expect(pipe.lines(through: "990 lost") == (0...10).map { "\($0)" } + ["990 lost"])
        writer.put("again\n")
        #expect(pipe.lines(through: "again") == ["again"])
    }

    @Test func `A line that is longer than the buffer is lost alone`() throws {
        let pipe = try TestPipe()
        let writer = writer(pipe, bytes: 100)
        writer.put(String(repeating: "x", count: 200) + "\n")
        #expect(pipe.lines(through: "1 lost") == ["1 lost"])
        writer.put("short\n")
        #expect(pipe.lines(through: "short") == ["short"])
    }

    @Test func `Lines that could not be written are counted too`() throws {
        let full = try OwnedDescriptor.open("/dev/full", flags: O_WRONLY)
        let pipe = try TestPipe()
        let writer = LineWriter(to: full.number) { "\($0) lost" }
        for number in 1...3 {
            writer.put("\(number)\n")
            #expect(writer.flush(within: .seconds(10)))
        }
        // The same descriptor now leads elsewhere.
        try #require(dup2(pipe.input, full.number) >= 0)
        writer.put("heard\n")
        #expect(pipe.lines(through: "heard") == ["3 lost", "heard"])
    }
}

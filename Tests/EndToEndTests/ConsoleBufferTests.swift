import AerostatHost
import Synchronization
import Testing
import aerostat

/// The buffers between a serial port and its console.
@Suite struct ConsoleBufferTests {
    private static let capacity = 256 << 10

    private func seconds(_ body: () -> Void) -> Double {
        let start = MonotonicClock.now()
        body()
        return start.duration(to: MonotonicClock.now()).inSeconds
    }

    @Test func `A reader that stops delays the guest once, for a moment; lost bytes are counted, and reading works again later`() {
        let output = ConsoleOutput()
        for _ in 0..<Self.capacity { output.put(1) }
        let first = seconds { output.put(2) }
        #expect((0.2..<2).contains(first), "held back for \(first) s")
        let more = seconds { for _ in 0..<1000 { output.put(2) } }
        #expect(more < 0.2, "held back again: \(more) s")
        #expect(output.next() == [UInt8](repeating: 1, count: Self.capacity))
        #expect(output.takeLost() == 1001 && output.takeLost() == 0)
        output.put(3)
        #expect(output.next() == [3])
    }

    @Test func `A slow reader loses nothing`() throws {
        let output = ConsoleOutput(patience: .seconds(20))
        let count = 3 * Self.capacity
        let guest = try HostThread(name: "guest") { for index in 0..<count { output.put(UInt8(truncatingIfNeeded: index)) } }
        var received: [UInt8] = []
        let deadline = MonotonicClock.now() + .seconds(20)
        while received.count < count, MonotonicClock.now() < deadline {
            HostThread.sleep(for: .milliseconds(20))
            received += try #require(output.next())
        }
        guest.join()
        #expect(received == (0..<count).map { UInt8(truncatingIfNeeded: $0) })
        #expect(output.takeLost() == 0)
        output.end()
        #expect(output.next() == nil)
    }

    /// A serial port with room for this many bytes.
    private final class Port: Sendable {
        let state: Mutex<(room: Int, heard: [UInt8])>
        init(room: Int) { state = Mutex((room, [])) }

        func receive(_ bytes: [UInt8]) -> Int {
            state.withLock { state in
                let count = min(state.room, bytes.count)
                state.heard += bytes[..<count]
                state.room -= count
                return count
            }
        }

        var heard: [UInt8] { state.withLock { $0.heard } }
    }

    @Test func `Input waits for the guest and for room, stays in order, and is complete if its writer waits`() throws {
        let input = ConsoleInput()
        let feeder = try HostThread(name: "feeder") { input.run() }
        let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
        // Far more than the buffer holds, so the writer has to wait.
        let writer = try HostThread(name: "writer") {
            for start in stride(from: 0, to: bytes.count, by: 1000) { input.put(Array(bytes[start..<start + 1000]), waits: true) }
        }
        let port = Port(room: 0)
        input.attach { port.receive($0) }
        let deadline = MonotonicClock.now() + .seconds(20)
        while port.heard.count < bytes.count, MonotonicClock.now() < deadline {
            port.state.withLock { $0.room = 16 }
            input.guestHasRoom()
            HostThread.sleep(for: .microseconds(100))
        }
        writer.join()
        #expect(port.heard == bytes)
        input.end()
        feeder.join()
    }

    @Test func `A person never has to wait, and input for a guest that does not read is lost in the end`() throws {
        let input = ConsoleInput()
        #expect(seconds { for _ in 0..<1000 { input.put([UInt8](repeating: 7, count: 10), waits: false) } } < 1)
        let port = Port(room: .max)
        input.attach { port.receive($0) }
        let feeder = try HostThread(name: "feeder") { input.run() }
        let deadline = MonotonicClock.now() + .seconds(20)
        while port.heard.count < 4096, MonotonicClock.now() < deadline { HostThread.sleep(for: .milliseconds(1)) }
        input.end()
        feeder.join()
        #expect(port.heard.count == 4096)
    }
}

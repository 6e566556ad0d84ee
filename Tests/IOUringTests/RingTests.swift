import Glibc
import Host
import IOUring
import TestSupport
import Testing

@Suite struct RingTests {
    @Test("Bytes arrive whole although they come in pieces", arguments: [false, true])
    func receives(plain: Bool) throws {
        let (a, b) = try socketPair()
        let (near, far) = (OwnedDescriptor(adopting: a), OwnedDescriptor(adopting: b))
        var ring = try Ring(entries: 8, plain: plain)
        if plain { #expect(!ring.isDeferred) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1000, alignment: 8)
        defer { unsafe buffer.deallocate() }
        try unsafe ring.prepareReceive(near.number, into: buffer.baseAddress!, count: 1000, token: 7)
        #expect(ring.inFlight == 1)
        try ring.submitAndWait(timeout: .zero)
        #expect(ring.nextCompletion() == nil)
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        for start in stride(from: 0, to: 1000, by: 250) {
            sendAll(bytes[start..<start + 250], to: far.number)
            if start < 750 {
                try ring.submitAndWait(timeout: .milliseconds(2))
                #expect(ring.nextCompletion() == nil)
            }
        }
        let completion = try #require(try complete(&ring))
        #expect(completion.token == 7 && completion.result == 1000 && completion.failure == nil)
        #expect(unsafe Array(buffer) == bytes)
        #expect(ring.inFlight == 0)
    }

    private func complete(_ ring: inout Ring) throws -> Completion? {
        for _ in 0..<100 {
            try ring.submitAndWait(timeout: .milliseconds(50))
            if let completion = ring.nextCompletion() { return completion }
        }
        return nil
    }

    @Test("A poll completes when the doorbell rings, and a wait ends with its time", arguments: [false, true])
    func polls(plain: Bool) throws {
        var ring = try Ring(entries: 8, plain: plain)
        let bell = try Doorbell()
        try ring.preparePoll(bell.descriptor, token: 3)
        let start = MonotonicClock.now()
        try ring.submitAndWait(timeout: .milliseconds(20))
        #expect(ring.nextCompletion() == nil)
        #expect(start.duration(to: MonotonicClock.now()) >= .milliseconds(19))
        bell.ring()
        #expect(try complete(&ring)?.token == 3)
        #expect(bell.answer())
    }

    @Test("More operations than entries are submitted on the way")
    func overflow() throws {
        var ring = try Ring(entries: 4)
        let bell = try Doorbell()
        for token in 0..<20 as Range<UInt64> { try ring.preparePoll(bell.descriptor, token: token) }
        bell.ring()
        var seen: Set<UInt64> = []
        while seen.count < 20, let completion = try complete(&ring) { seen.insert(completion.token) }
        #expect(seen.count == 20 && ring.inFlight == 0)
    }

    @Test("A closed peer is a completion, a bad descriptor an errno")
    func failures() throws {
        var ring = try Ring(entries: 4)
        let (a, b) = try socketPair()
        let near = OwnedDescriptor(adopting: a)
        _ = Glibc.close(b)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 8, alignment: 8)
        defer { unsafe buffer.deallocate() }
        try unsafe ring.prepareReceive(near.number, into: buffer.baseAddress!, count: 8, token: 1)
        #expect(try complete(&ring)?.result == 0)
        try unsafe ring.prepareReceive(-1, into: buffer.baseAddress!, count: 8, token: 2)
        #expect(try complete(&ring)?.result == -EBADF)
        #expect(throws: RingError.self) { _ = try Ring(entries: 1 << 20) }
    }
}

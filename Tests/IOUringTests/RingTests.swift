import AerostatHost
import AerostatIOUring
import Glibc
import TestSupport
import Testing

@Suite struct RingTests {
    @Test(arguments: [false, true])
    func `A receive says what has come, and does not wait for the rest`(plain: Bool) throws {
        let (a, b) = try connectedSockets()
        let near = OwnedDescriptor(adopting: a)
        let far = OwnedDescriptor(adopting: b)
        var ring = try Ring(entries: 8, plain: plain)
        if plain {
            let isDeferred = ring.isDeferred
            #expect(!isDeferred)
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1000, alignment: 8)
        defer { unsafe buffer.deallocate() }
        let message = unsafe OneMessage(buffer)
        try unsafe ring.prepareReceive(near.number, message: message.header, token: 7)
        let inFlight = ring.inFlight
        #expect(inFlight == 1)
        try ring.submitAndWait(timeout: .zero)
        expectNothing(&ring)
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        sendAll(bytes[..<250], to: far.number)
        let first = try complete(&ring)
        #expect(first?.token == 7 && first?.result == 250 && first?.failure == nil)
        #expect(unsafe Array(buffer[..<250]) == Array(bytes[..<250]))
        sendAll(bytes[250...], to: far.number)
        try unsafe ring.prepareReceive(near.number, message: message.header, token: 8)
        let second = try complete(&ring)
        #expect(second?.token == 8 && second?.result == 750)
        #expect(unsafe Array(buffer[..<750]) == Array(bytes[250...]))
        let left = ring.inFlight
        #expect(left == 0)
    }

    private func expectNothing(_ ring: inout Ring) {
        let completion = ring.nextCompletion()
        #expect(completion == nil)
    }

    private func complete(_ ring: inout Ring) throws -> Completion? {
        for _ in 0..<100 {
            try ring.submitAndWait(timeout: .milliseconds(50))
            if let completion = ring.nextCompletion() { return completion }
        }
        return nil
    }

    @Test(arguments: [false, true])
    func `A poll completes when the doorbell rings, and a wait ends with its time`(plain: Bool) throws {
        var ring = try Ring(entries: 8, plain: plain)
        let bell = try Doorbell()
        try ring.preparePoll(bell.descriptor, token: 3)
        let start = MonotonicClock.now()
        try ring.submitAndWait(timeout: .milliseconds(20))
        expectNothing(&ring)
        #expect(start.duration(to: MonotonicClock.now()) >= .milliseconds(19))
        bell.ring()
        let completion = try complete(&ring)
        #expect(completion?.token == 3)
        #expect(bell.answer())
    }

    @Test func `More operations than entries are submitted on the way`() throws {
        var ring = try Ring(entries: 4)
        let bell = try Doorbell()
        for token in 0..<20 as Range<UInt64> { try ring.preparePoll(bell.descriptor, token: token) }
        bell.ring()
        var seen: Set<UInt64> = []
        while seen.count < 20, let completion = try complete(&ring) { seen.insert(completion.token) }
        let left = ring.inFlight
        #expect(seen.count == 20 && left == 0)
    }

    @Test func `A closed peer is a completion, a bad descriptor an errno`() throws {
        var ring = try Ring(entries: 4)
        let (a, b) = try connectedSockets()
        let near = OwnedDescriptor(adopting: a)
        _ = Glibc.close(b)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 8, alignment: 8)
        defer { unsafe buffer.deallocate() }
        let message = unsafe OneMessage(buffer)
        try unsafe ring.prepareReceive(near.number, message: message.header, token: 1)
        let completion = try complete(&ring)
        #expect(completion?.result == 0)
        try unsafe ring.prepareReceive(-1, message: message.header, token: 2)
        let refused = try complete(&ring)
        #expect(refused?.result == -EBADF)
        #expect(throws: RingError.self) { _ = try Ring(entries: 1 << 20) }
    }
}

/// A message of one piece, which stays where it is as long as this lives.
@safe private final class OneMessage {
    let header: UnsafeMutablePointer<msghdr>
    private let piece: UnsafeMutablePointer<iovec>

    init(_ buffer: UnsafeMutableRawBufferPointer) {
        unsafe piece = .allocate(capacity: 1)
        unsafe piece.initialize(to: iovec(iov_base: buffer.baseAddress, iov_len: buffer.count))
        unsafe header = .allocate(capacity: 1)
        unsafe header.initialize(to: msghdr())
        unsafe header.pointee.msg_iov = piece
        unsafe header.pointee.msg_iovlen = 1
    }

    deinit {
        unsafe header.deallocate()
        unsafe piece.deallocate()
    }
}

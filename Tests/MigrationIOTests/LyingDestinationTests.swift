import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import TestSupport
import Testing

/// A destination that sends what only a source may send.
@Suite struct LyingDestinationTests {
    static let frames: [Frame] = [
        .runs([RunDescriptor(.data, PageRun(0, 1))], round: 1), .runs([], round: 1), .roundBegin(1), .roundEnd(1), .commit,
        .switchover(sections: 0, guestRuns: true), .deviceState(DeviceSection(name: "scripted", version: 1, bytes: [])),
        .digests(DigestRun(first: PageIndex(0), digests: [1])),
    ]

    @Test(arguments: frames)
    func `A frame that only a source may send is refused at once, by name`(frame: Frame) throws {
        var setup = Pair.Setup(pages: 1024)
        setup.limits.stall = .seconds(2)
        let pair = try Pair(setup)
        let (a, b) = try connectedSockets()
        let far = OwnedDescriptor(adopting: b)
        try pair.startSource(a)
        let hello = try #require(try receiveHello(from: far.number))
        // The pages of the frame never arrive. A source that accepted the frame would receive nothing any more.
        sendAll((Frame.hello(hello.answer).encode(sequence: 0) + frame.encode(sequence: 1))[...], to: far.number)
        #expect(pair.migration.wait() == .failed(.link("the destination sent a \(frame.kind) frame, which only a source sends")))
        expectGuestIsHere(pair)
        _ = far.number
        pair.end()
    }

    private func receiveHello(from number: Int32) throws -> Hello? {
        let fixed = receive(FrameHeader.byteCount, from: number)
        let header = try FrameHeader(decoding: fixed, expecting: 0)
        let frame = try Frame(header, body: receive(Int(header.bodyBytes), from: number), pageCount: 0)
        if case .hello(let hello) = frame { return hello }
        return nil
    }

    private func receive(_ count: Int, from number: Int32) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var received = 0
        while received < count {
            let more = unsafe bytes[received...].withUnsafeMutableBytes { unsafe recv(number, $0.baseAddress, $0.count, 0) }
            guard more > 0 else { break }
            received += more
        }
        return bytes
    }
}

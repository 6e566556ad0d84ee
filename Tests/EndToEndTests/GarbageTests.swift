import AerostatControl
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatQMP
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Peers that send invalid bytes.
    @Suite struct Garbage {
        /// What arrives at `--incoming` instead of a migration.
        enum Visitor: String, CaseIterable, Sendable {
            case nothing, random, http, zeroes, halfHeader, halfHello, damagedHello, hugeBody, wrongSequence, commitFirst, abortFirst

            var bytes: [UInt8] {
                get throws {
                    let hello = Frame.hello(try .someGuest).encode(sequence: 0)
                    var seed = SeededGenerator(seed: 7)
                    switch self {
                    case .nothing: return []
                    case .random: return (0..<100_000).map { _ in UInt8.random(in: 0...255, using: &seed) }
                    case .http: return Array("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a port scanner\r\n\r\n".utf8)
                    case .zeroes: return [UInt8](repeating: 0, count: 100_000)
                    case .halfHeader: return Array(hello.prefix(25))
                    case .halfHello: return Array(hello.prefix(50))
                    case .damagedHello: return hello.enumerated().map { $0 == 60 ? $1 ^ 1 : $1 }
                    // Announces a body of 4 GiB.
                    case .hugeBody: return hello.enumerated().map { (16..<20).contains($0) ? 255 : $1 }
                    case .wrongSequence: return Frame.hello(try .someGuest).encode(sequence: 1)
                    case .commitFirst: return Frame.commit.encode(sequence: 0)
                    case .abortFirst: return Frame.abort("nothing was begun").encode(sequence: 0)
                    }
                }
            }
        }

        @Test func `invalid visitors at --incoming are dropped, and a migration still comes in`() async throws {
            try await withGuests { guests in
                let destination = try await guests.waiting()
                let uri = try destination.incoming
                for (index, visitor) in Visitor.allCases.enumerated() {
                    let bytes = try visitor.bytes
                    // Sends everything and leaves. It does not matter if the kernel no longer accepts some of it.
                    try await aside {
                        let peer = try FrameSocket(connectingTo: uri)
                        peer.send(bytes)
                        peer.endSending()
                        while peer.receive(1) != nil {}
                    }
                    try await eventually("\(visitor) is noted") {
                        destination.log.components(separatedBy: "still waiting").count == index + 2
                    }
                    #expect(try await destination.state() == .inMigrate)
                }
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let migrate = try await source.migrate(to: uri, "--verify")
                #expect(migrate.code == 0, "\(migrate)\n\(destination.log)")
                try await destination.expectClean()
            }
        }

        /// What a source does wrong after the destination has accepted its hello.
        enum Offence: String, CaseIterable, Sendable {
            case silenceAndGone, halfFrame, random, damaged, outsideMemory, endlessRun, payloadThatIsNot, payloadCutShort, hugeCounts,
                secondHello,
                readyFromSource, commitWithoutSwitchover, switchoverWithoutSections, unknownSection, digestsUnasked, tooManySections

            var bytes: [UInt8] {
                get throws {
                    let page = PageRun(first: PageIndex(3), count: 1)
                    var seed = SeededGenerator(seed: 8)
                    func frame(_ frame: Frame, _ sequence: UInt32 = 1) -> [UInt8] { frame.encode(sequence: sequence) }
                    switch self {
                    case .silenceAndGone: return []
                    case .halfFrame: return Array(frame(.runs([RunDescriptor(.zero, page)], round: 1)).prefix(47))
                    case .random: return (0..<100_000).map { _ in UInt8.random(in: 0...255, using: &seed) }
                    case .damaged: return frame(.runs([RunDescriptor(.zero, page)], round: 1)).enumerated().map { $0 == 44 ? $1 ^ 8 : $1 }
                    case .outsideMemory: return frame(.runs([RunDescriptor(.data, PageRun(first: PageIndex(16384), count: 1))], round: 1))
                    case .endlessRun:
                        return frame(.runs([RunDescriptor(.free, PageRun(first: PageIndex(16000), count: 4_000_000_000))], round: 1))
                    case .payloadThatIsNot:
                        return FrameHeader.encode(.roundBegin, round: 1, sequence: 1, payloadBytes: 4096)
                    case .payloadCutShort: return frame(.runs([RunDescriptor(.data, page)], round: 1)) + [UInt8](repeating: 7, count: 100)
                    case .hugeCounts: return FrameHeader.encode(.runs, round: 1, count: 0xFFFF_FFFF, sequence: 1)
                    case .secondHello: return frame(.hello(try .someGuest))
                    case .readyFromSource: return frame(.ready(Ready()))
                    case .commitWithoutSwitchover: return frame(.commit)
                    case .switchoverWithoutSections: return frame(.switchover(sections: 0, guestRuns: true))
                    case .unknownSection:
                        return frame(.deviceState(DeviceSection(name: "flux-capacitor", version: 88, bytes: [1, 2, 3])))
                            + frame(.switchover(sections: 1, guestRuns: true), 2)
                    case .digestsUnasked: return frame(.digests(DigestRun(first: PageIndex(0), digests: [1])))
                    case .tooManySections:
                        return (1...300).flatMap { frame(.deviceState(DeviceSection(name: "s\($0)", version: 1, bytes: [])), UInt32($0)) }
                    }
                }
            }
        }

        @Test(arguments: Offence.allCases)
        func `nonsense after a hello ends the destination with a reason`(_ offence: Offence) async throws {
            try await withGuests { guests in
                let destination = try await guests.waiting()
                let uri = try destination.incoming
                let bytes = try offence.bytes
                try await aside {
                    let peer = try FrameSocket(connectingTo: uri)
                    peer.send(Frame.hello(try .someGuest).encode(sequence: 0))
                    guard case .hello? = try peer.receiveDecodedFrame() else { throw TooLate(description: "no hello came back") }
                    peer.send(bytes)
                    peer.endSending()
                    while peer.receive(1) != nil {}
                }
                try await destination.expectGuestDidNotCome("the incoming migration failed: ")
            }
        }

        static let controlGarbage: [String] = [
            "\u{0}\u{1}\u{2}", "GET / HTTP/1.1\r\n\r\n", "{", "}}}}", #"{"execute": 7}"#, #"{"execute": "launch-rocket"}"#, "[[[[[[[[",
            #"{"execute": "migrate", "arguments": {"uri": ["tcp"]}}"#,
            #"{"execute": "pmemsave", "arguments": {"val": -1, "filename": ""}}"#,
            #"{"execute": "migrate-set-parameters", "arguments": {"downtime-limit": 99999999999}}"#,
            String(repeating: "[", count: 100_000), String(repeating: "x", count: 5_000_000),
        ]

        @Test func `garbage on the control socket does not disturb the guest or other clients`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let client = try await source.connect()
                for text in Self.controlGarbage {
                    try await aside {
                        let peer = try FrameSocket(connectingTo: "unix:" + source.control)
                        peer.send(#"{"execute": "qmp_capabilities"}"#.utf8)
                        peer.send(text.utf8)
                        peer.endSending()
                        while peer.receive(1) != nil {}
                    }
                    #expect(try await client.runState() == .running, "\(text.prefix(40))")
                }
                try await source.expectClean()
                try await source.expectMigrates(guests)
            }
        }
    }
}

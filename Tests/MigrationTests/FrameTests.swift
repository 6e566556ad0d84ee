import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import TestSupport
import Testing

@Suite struct FrameTests {
    static let pageCount = 1 << 20

    static func randomFrame(_ random: inout SeededGenerator) -> Frame {
        func bytes(_ maximum: Int) -> [UInt8] {
            (0..<Int.random(in: 0...maximum, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        }
        func run() -> PageRun {
            let first = Int.random(in: 0..<pageCount, using: &random)
            return PageRun(first, Int.random(in: 1...min(16, pageCount - first), using: &random))
        }
        switch Int.random(in: 0..<12, using: &random) {
        case 0:
            let capabilities = Hello.Capabilities(rawValue: .random(in: 0...3, using: &random))
            let session = SessionID(high: random.next(), low: random.next())
            let requirements = (0..<Int.random(in: 0...4, using: &random)).map { number in
                DeviceSection(name: "need \(number)", version: .random(in: 0 ... .max, using: &random), bytes: bytes(300))
            }
            let regions = regionTable([(1, 5), (9, 100)])
            return .hello(Hello(session: session, regions: regions, capabilities: capabilities, requirements: requirements))
        case 1: return .roundBegin(.random(in: 0 ... .max, using: &random))
        case 2:
            let kinds: [RunDescriptor.Kind] = [.data, .zero, .free]
            let runs = (0..<Int.random(in: 0...200, using: &random)).map { _ in RunDescriptor(kinds.randomElement(using: &random)!, run()) }
            return .runs(runs, round: .random(in: 0 ... .max, using: &random))
        case 3: return .roundEnd(.random(in: 0 ... .max, using: &random))
        case 4: return .deviceState(DeviceSection(name: "näme", version: .random(in: 0 ... .max, using: &random), bytes: bytes(300)))
        case 5:
            let run = run()
            return .digests(DigestRun(first: run.first, digests: (0..<run.count).map { _ in random.next() }))
        case 6: return .switchover(sections: Int.random(in: 0...256, using: &random), guestRuns: .random(using: &random))
        case 7:
            var ready = Ready()
            ready.pagesCompared = Int.random(in: 0 ... .max, using: &random)
            ready.differences = Int.random(in: 0...5, using: &random)
            ready.firstDifference = Bool.random(using: &random) ? nil : 17
            return .ready(ready)
        case 8: return .commit
        case 9: return .running
        case 10: return .abort("no more")
        default: return .progress(round: .random(in: 0 ... .max, using: &random))
        }
    }

    /// What a receiver does with the bytes of a frame.
    static func decode(_ bytes: [UInt8], sequence: UInt32, pageCount: Int = pageCount) throws(StreamError) -> Frame? {
        guard bytes.count >= FrameHeader.byteCount else { return nil }
        let fixed = Array(bytes[..<FrameHeader.byteCount])
        let header = try FrameHeader(decoding: fixed, expecting: sequence)
        #expect(Int(header.bodyBytes) <= FrameHeader.maximumBodyBytes)
        guard bytes.count >= FrameHeader.byteCount + Int(header.bodyBytes) else { return nil }
        let body = Array(bytes[FrameHeader.byteCount..<FrameHeader.byteCount + Int(header.bodyBytes)])
        try FrameHeader.verify(header: fixed, body: body, frame: sequence)
        return try Frame(header, body: body, pageCount: pageCount)
    }

    @Test func `Every frame comes back as it was`() throws {
        var random = SeededGenerator(seed: 11)
        for step in 0..<2000 {
            let frame = Self.randomFrame(&random)
            #expect(try Self.decode(frame.encode(sequence: UInt32(step)), sequence: UInt32(step)) == frame, "seed 11, step \(step)")
        }
    }

    @Test func `Any changed bit is noticed`() {
        var random = SeededGenerator(seed: 12)
        for step in 0..<3000 {
            let frame = Self.randomFrame(&random)
            var bytes = frame.encode(sequence: 5)
            bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random)
            do throws(StreamError) {
                // A larger body length only asks for more bytes.
                if let found = try Self.decode(bytes, sequence: 5) { Issue.record("\(found) from a damaged \(frame), step \(step)") }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
    }

    /// Bodies with a right checksum and wrong content: what a hostile peer sends.
    @Test func `Hostile bodies are errors, never traps`() {
        var random = SeededGenerator(seed: 13)
        var accepted = 0
        for _ in 0..<20_000 {
            let kind = FrameKind(rawValue: UInt16.random(in: 1...12, using: &random))!
            var body = Array(Self.randomFrame(&random).encode(sequence: 0).dropFirst(FrameHeader.byteCount))
            if Bool.random(using: &random) {
                for _ in 0..<Int.random(in: 1...4, using: &random) where !body.isEmpty {
                    body[Int.random(in: 0..<body.count, using: &random)] = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random)!
                }
                body = Array(body.prefix(Int.random(in: 0...body.count, using: &random)))
            }
            let count = [0, 1, 2, 200, 256, 257, 1000, 1001, 4096, 4097, Int(UInt32.max)].randomElement(using: &random)!
            let payload = kind == .runs && Bool.random(using: &random) ? 4096 : 0
            let bytes = FrameHeader.encode(kind, count: count, sequence: 0, body: body, payloadBytes: payload)
            do throws(StreamError) {
                if try Self.decode(bytes, sequence: 0, pageCount: Bool.random(using: &random) ? 0 : 5000) != nil { accepted += 1 }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        #expect(accepted > 100, "nothing is accepted: the fuzzer is too wild to say much")
    }

    @Test func `Random bytes are no frame`() {
        var random = SeededGenerator(seed: 14)
        for _ in 0..<2000 {
            var bytes = (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
            if Bool.random(using: &random) { bytes.replaceSubrange(0..<4, with: Array("AERO".utf8)) }
            do throws(StreamError) {
                _ = try Self.decode(bytes, sequence: 0)
                Issue.record("accepted noise")
            } catch {}
        }
    }

    @Test func `Counts and lengths above their limits are refused by name`() {
        func error(_ kind: FrameKind, count: Int = 0, body: [UInt8] = []) -> StreamError? {
            do throws(StreamError) {
                _ = try Self.decode(FrameHeader.encode(kind, count: count, sequence: 0, body: body), sequence: 0)
                return nil
            } catch { return error }
        }
        #expect(error(.runs, count: 1001) == .limit("number of runs", value: 1001, maximum: 1000))
        #expect(error(.digests, count: 4097) == .limit("number of digests", value: 4097, maximum: 4096))
        #expect(error(.switchover, count: 257, body: [0, 0, 0, 0]) == .limit("number of device sections", value: 257, maximum: 256))
        #expect(error(.deviceState, body: [65, 0, 0, 0]) == .limit("device section name", value: 65, maximum: 64))
        #expect(error(.abort, body: [1, 4, 0, 0]) == .limit("reason", value: 1025, maximum: 1024))
        var header = Frame.commit.encode(sequence: 0)
        header.replaceSubrange(16..<20, with: [0xFF, 0xFF, 0xFF, 0xFF])
        do throws(StreamError) {
            _ = try FrameHeader(decoding: header, expecting: 0)
            Issue.record("accepted")
        } catch {
            #expect(error == .limit("frame body", value: UInt64(UInt32.max), maximum: UInt64(FrameHeader.maximumBodyBytes)))
        }
    }

    @Test func `A frame repeated, lost or reordered is refused`() {
        do throws(StreamError) {
            _ = try Self.decode(Frame.commit.encode(sequence: 3), sequence: 4)
            Issue.record("accepted")
        } catch {
            #expect(error == .sequence(expected: 4, found: 3))
        }
    }

    @Test func `Pages outside the guest are refused`() {
        for (first, count) in [(100, 1), (99, 2), (0, 101)] {
            let frame = Frame.runs([RunDescriptor(.zero, PageRun(first, count))], round: 1)
            do throws(StreamError) {
                _ = try Self.decode(frame.encode(sequence: 0), sequence: 0, pageCount: 100)
                Issue.record("accepted \(first) + \(count)")
            } catch {
                #expect(error == .outsideMemory(firstPage: UInt64(first), count: UInt64(count), pages: 100))
            }
        }
    }
}

@Suite struct HelloTests {
    @Test func `What does not fit is refused with both sides' figures`() {
        let shape = regionTable(pages: 10)
        var hello = Hello(session: .random(), regions: shape, capabilities: .verify)
        #expect(hello.refusal(shape: shape) == nil && hello.refusal(shape: nil) == nil)
        #expect(hello.refusal(shape: regionTable(pages: 11))?.contains("44 KiB") == true)
        #expect(hello.refusal(shape: regionTable([(1, 10)]))?.contains("other addresses") == true)
        hello.versions = 2...7
        #expect(hello.refusal(shape: nil) == nil)
        hello.pageSize = 16384
        #expect(hello.refusal(shape: nil)?.contains("16384") == true)
        hello.pageSize = 4096
        hello.capabilities = Hello.Capabilities(rawValue: 1 << 40 | 2)
        #expect(hello.refusal(shape: nil)?.contains("0x10000000000") == true)
    }

    /// Bit 0 asked for another digest of a page: equal pages would be found to differ.
    @Test func `Versions that verify by another digest and this one refuse each other, and migrate without verification`() throws {
        let shape = regionTable(pages: 10)
        let old = Hello(session: .random(), regions: shape, capabilities: Hello.Capabilities(rawValue: 1))
        #expect(old.refusal(shape: nil)?.contains("before 0.3.0") == true)
        var destination = DestinationSession(shape: nil)
        guard case .refuse(let reason)? = try destination.handle(.hello(old)).first else {
            Issue.record("a source that verifies by the old digest was accepted")
            return
        }
        #expect(reason.contains("digest"))
        // What the old version knows.
        #expect(!Hello.Capabilities.verify.isSubset(of: Hello.Capabilities(rawValue: 1)))
        #expect(Hello(session: .random(), regions: shape, capabilities: []).refusal(shape: nil) == nil)
    }

    @Test(arguments: [0...0, 1...1, 3...9] as [ClosedRange<UInt16>])
    func `Another version is refused by its number, however its hello goes on`(theirs: ClosedRange<UInt16>) throws {
        var hello = Hello(session: .random(), regions: regionTable(pages: 10), capabilities: [])
        hello.versions = theirs
        for rest in [[], Array(hello.encode()[4...]), [1, 2, 3]] as [[UInt8]] {
            #expect(throws: StreamError.versions(theirs)) { _ = try Hello(decoding: Array(hello.encode()[..<4]) + rest) }
        }
        #expect(StreamError.versions(theirs).description.contains("\(theirs.lowerBound) to \(theirs.upperBound), this one 2 to 2"))
    }

    @Test func `Requirements are as bounded as device sections`() throws {
        let empty = Hello(session: .random(), regions: regionTable(pages: 10), capabilities: []).encode()
        func decode(count: UInt32, _ sections: [UInt8]) throws(StreamError) -> Hello {
            var writer = FieldBytes()
            writer.append(count)
            return try Hello(decoding: Array(empty.dropLast(4)) + writer.bytes + sections)
        }
        func section(name: Int = 1, bytes: Int = 0) -> [UInt8] {
            var writer = FieldBytes()
            writer.appendCounted([UInt8](repeating: 0x61, count: name))
            writer.append(UInt32(1))
            writer.appendCounted([UInt8](repeating: 7, count: bytes))
            return writer.bytes
        }
        func sections(_ count: Int) -> [UInt8] { (0..<count).flatMap { _ in section() } }
        #expect(try decode(count: 256, sections(256)).requirements.count == 256)
        #expect(throws: StreamError.self) { _ = try decode(count: 257, sections(257)) }
        #expect(throws: StreamError.self) { _ = try decode(count: .max, []) }
        #expect(throws: StreamError.self) { _ = try decode(count: 1, sections(2)) }
        #expect(throws: StreamError.self) { _ = try decode(count: 2, sections(1)) }
        #expect(throws: StreamError.self) { _ = try decode(count: 1, section(name: 65)) }
        let most = Hello.maximumRequirementBytes - section().count
        #expect(try decode(count: 1, section(bytes: most)).requirements[0].bytes.count == most)
        #expect(throws: StreamError.limit("requirements", value: 1 << 20 + 1, maximum: 1 << 20)) {
            _ = try decode(count: 1, section(bytes: most + 1))
        }
    }
}

import AerostatGuestMemory
import AerostatVirtio
import TestSupport
import Testing

/// Holds the queue under test by reference, because `#expect` does not accept mutating calls.
final class TestQueue {
    private var queue: SplitVirtqueue

    init(_ queue: SplitVirtqueue) { self.queue = queue }

    var fault: VirtqueueError? { queue.fault }
    var position: VirtqueuePosition { queue.position }
    func pop() throws(VirtqueueError) -> DescriptorChain? { try queue.pop() }
    func push(head: UInt16, length: UInt32) { queue.push(head: head, length: length) }
    func needsInterrupt() -> Bool { queue.needsInterrupt() }
    func suppressKicks() { queue.suppressKicks() }
    func enableKicks() -> Bool { queue.enableKicks() }
    var waitingChains: UInt16 { queue.waitingChains }
}

/// A small guest with one ring.
struct RingBench {
    static let base = GuestAddress(0x1_0000)
    let memory: GuestRAM
    var raw: RawRing
    let queue: TestQueue

    init(size: UInt16 = 8, features: VirtioFeatures = [.version1, .indirectDescriptors]) throws {
        memory = try GuestRAM(RegionTable(contiguousBytes: 1 << 20))
        let layout = VirtqueueLayout(size: size, contiguousAt: Self.base)
        raw = RawRing(memory, layout)
        queue = TestQueue(try SplitVirtqueue(memory, layout, features: features))
    }

    func descriptor(_ address: UInt64, _ length: UInt32, _ flags: UInt16 = 0, next: UInt16 = 0) -> VirtqueueDescriptor {
        VirtqueueDescriptor(address: GuestAddress(address), length: length, flags: flags, next: next)
    }
}

func segment(_ address: UInt64, _ length: UInt32, writable: Bool) -> VirtqueueSegment {
    VirtqueueSegment(address: GuestAddress(address), length: length, isWritable: writable)
}

@Suite struct SplitVirtqueueTests {
    @Test(arguments: [1, 2, 8, 256] as [UInt16], [1, 2, 3] as [UInt64])
    func `Random chains come out as they went in, like an array`(size: UInt16, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var bench = try RingBench(size: size)
        var sent: [(head: UInt16, segments: [VirtqueueSegment])] = []
        var popped: [DescriptorChain] = []
        var expectedUsed: [RawRing.Used] = []
        // Many times round the ring, and, if the ring is small, round the 16-bit index.
        for step in 0..<100_000 {
            let outstanding = sent.reduce(0) { $0 + $1.segments.count } + popped.reduce(0) { $0 + $1.segments.count }
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                // Chains are returned out of order below, so the raw driver only sends when the next descriptors are free.
                guard outstanding == 0 || popped.isEmpty else { continue }
                let room = Int(size) - outstanding
                guard room > 0 else { continue }
                let count = Int.random(in: 1...min(room, 5), using: &random)
                let readable = Int.random(in: 0...count, using: &random)
                let segments = (0..<count).map {
                    segment(
                        .random(in: 0...UInt64.max, using: &random),
                        .random(in: 1...UInt32.max, using: &random),
                        writable: $0 >= readable
                    )
                }
                sent.append((try bench.raw.send(segments), segments))
            case 1:
                let chain = try bench.queue.pop()
                guard let expected = sent.first else {
                    #expect(chain == nil, "seed \(seed), step \(step)")
                    continue
                }
                sent.removeFirst()
                let found = try #require(chain, "seed \(seed), step \(step)")
                try #require(found.head == expected.head && found.segments == expected.segments, "seed \(seed), step \(step)")
                try #require(found.readable.allSatisfy { !$0.isWritable } && found.writable.allSatisfy(\.isWritable))
                popped.append(found)
            default:
                guard !popped.isEmpty else { continue }
                let chain = popped.remove(at: .random(in: 0..<popped.count, using: &random))
                let length = UInt32.random(in: 0...UInt32.max, using: &random)
                bench.queue.push(head: chain.head, length: length)
                expectedUsed.append(RawRing.Used(id: UInt32(chain.head), length: length))
                let used = try bench.raw.newUsed()
                try #require(used == expectedUsed, "seed \(seed), step \(step)")
                expectedUsed = []
            }
        }
    }

    struct BadInput: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let expected: VirtqueueError
        let write: @Sendable (inout RingBench) throws -> Void

        init(_ description: String, _ expected: VirtqueueError, _ write: @escaping @Sendable (inout RingBench) throws -> Void) {
            testDescription = description
            self.expected = expected
            self.write = write
        }
    }

    private static let next = VirtqueueDescriptor.next
    private static let write = VirtqueueDescriptor.write
    private static let indirect = VirtqueueDescriptor.indirect
    private static let table = GuestAddress(0x2_0000)

    static let badInputs: [BadInput] = [
        BadInput("available index jumps", .availableIndexJump(available: 9, next: 0, size: 8)) { try $0.raw.setAvailableIndex(9) },
        BadInput("available index goes back", .availableIndexJump(available: 0xFFFF, next: 0, size: 8)) {
            try $0.raw.setAvailableIndex(0xFFFF)
        },
        BadInput("head outside the table", .headOutOfRange(head: 8, size: 8)) { try $0.raw.publish(head: 8) },
        BadInput("next outside the table", .nextOutOfRange(next: 8, limit: 8, head: 0)) {
            try $0.raw.write($0.descriptor(0, 1, next, next: 8), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("a loop of one", .loop(head: 3)) {
            try $0.raw.write($0.descriptor(0, 1, next, next: 3), at: 3)
            try $0.raw.publish(head: 3)
        },
        BadInput("a loop of all", .loop(head: 0)) {
            for index in 0..<8 { try $0.raw.write($0.descriptor(0, 1, next, next: UInt16((index + 1) % 8)), at: index) }
            try $0.raw.publish(head: 0)
        },
        BadInput("length 0", .zeroLength(head: 1, descriptor: 1)) {
            try $0.raw.write($0.descriptor(0x3000, 0, write), at: 1)
            try $0.raw.publish(head: 1)
        },
        BadInput("readable behind writable", .readableAfterWritable(head: 0, descriptor: 1)) {
            try $0.raw.write($0.descriptor(0x3000, 4, next | write, next: 1), at: 0)
            try $0.raw.write($0.descriptor(0x4000, 4), at: 1)
            try $0.raw.publish(head: 0)
        },
        BadInput("indirect table of no bytes", .indirectLength(head: 0, byteCount: 0)) {
            try $0.raw.write($0.descriptor(table.rawValue, 0, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("indirect table of half a descriptor", .indirectLength(head: 0, byteCount: 24)) {
            try $0.raw.write($0.descriptor(table.rawValue, 24, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("indirect table outside RAM", .indirectTableNotInRAM(head: 0, GuestAddress(0xF_FFF0), byteCount: 32)) {
            try $0.raw.write($0.descriptor(0xF_FFF0, 32, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("indirect table of 4 GiB", .indirectTableNotInRAM(head: 0, table, byteCount: 0xFFFF_FFF0)) {
            try $0.raw.write($0.descriptor(table.rawValue, 0xFFFF_FFF0, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("indirect table at the end of the address space", .indirectTableNotInRAM(head: 0, GuestAddress(.max - 15), byteCount: 32))
        {
            try $0.raw.write($0.descriptor(.max - 15, 32, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("indirect with next", .indirectNotAllowed(head: 0, descriptor: 0)) {
            try $0.raw.write($0.descriptor(table.rawValue, 32, indirect | next, next: 1), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("indirect in indirect", .indirectNotAllowed(head: 0, descriptor: 0)) {
            try $0.raw.write($0.descriptor(table.rawValue, 32, indirect), at: 0, table: table)
            try $0.raw.write($0.descriptor(table.rawValue, 32, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("next outside the indirect table", .nextOutOfRange(next: 2, limit: 2, head: 0)) {
            try $0.raw.write($0.descriptor(0x3000, 1, next, next: 2), at: 0, table: table)
            try $0.raw.write($0.descriptor(table.rawValue, 32, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("a loop in an indirect table", .loop(head: 0)) {
            try $0.raw.write($0.descriptor(0x3000, 1, next, next: 1), at: 0, table: table)
            try $0.raw.write($0.descriptor(0x3000, 1, next, next: 0), at: 1, table: table)
            try $0.raw.write($0.descriptor(table.rawValue, 32, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
        BadInput("an indirect table with more segments than the ring", .tooManySegments(head: 0, maximum: 8)) {
            for index in 0..<9 { try $0.raw.write($0.descriptor(0x3000, 1, next, next: UInt16(index + 1)), at: index, table: table) }
            try $0.raw.write($0.descriptor(table.rawValue, 16 * 64, indirect), at: 0)
            try $0.raw.publish(head: 0)
        },
    ]

    @Test(arguments: badInputs)
    func `Every mistake of a driver is an error that says what and where, and stays`(_ input: BadInput) throws {
        var bench = try RingBench()
        try input.write(&bench)
        #expect(throws: input.expected) { try bench.queue.pop() }
        #expect(throws: input.expected) { try bench.queue.pop() }
        #expect(bench.queue.fault == input.expected)
        #expect(bench.queue.position == VirtqueuePosition())
    }

    @Test func `An indirect table needs the feature`() throws {
        var bench = try RingBench(features: [.version1])
        try bench.raw.write(bench.descriptor(0x2_0000, 32, VirtqueueDescriptor.indirect), at: 0)
        try bench.raw.publish(head: 0)
        #expect(throws: VirtqueueError.indirectNotAllowed(head: 0, descriptor: 0)) { try bench.queue.pop() }
    }

    @Test func `An indirect table, alone or after direct descriptors, reads as one chain`() throws {
        var bench = try RingBench()
        let table = GuestAddress(0x2_0000)
        let (next, write, indirect) = (VirtqueueDescriptor.next, VirtqueueDescriptor.write, VirtqueueDescriptor.indirect)
        try bench.raw.write(bench.descriptor(0x5000, 5, next, next: 1), at: 0, table: table)
        try bench.raw.write(bench.descriptor(0x6000, 6, write), at: 1, table: table)
        // WRITE on the descriptor that refers to a table has no meaning.
        try bench.raw.write(bench.descriptor(table.rawValue, 32, indirect | write), at: 4)
        try bench.raw.publish(head: 4)
        let expected = [segment(0x5000, 5, writable: false), segment(0x6000, 6, writable: true)]
        #expect(try bench.queue.pop()?.segments == expected)
        try bench.raw.write(bench.descriptor(0x7000, 7, next, next: 4), at: 2)
        try bench.raw.publish(head: 2)
        let second = try bench.queue.pop()
        #expect(second?.segments == [segment(0x7000, 7, writable: false)] + expected)
        #expect(second?.readableCount == 2)
    }

    @Test func `Rings that are misaligned, outside RAM or of an impossible size are refused`() throws {
        let memory = try GuestRAM(RegionTable(contiguousBytes: 1 << 20))
        func check(_ expected: VirtqueueError, size: UInt16 = 8, _ table: UInt64 = 0, _ driver: UInt64 = 0x1000, _ device: UInt64 = 0x2000)
        {
            let layout = VirtqueueLayout(
                size: size,
                descriptorTable: GuestAddress(table),
                driverArea: GuestAddress(driver),
                deviceArea: GuestAddress(device)
            )
            #expect(throws: expected) { try SplitVirtqueue(memory, layout, features: [], maximumSize: 1024) }
        }
        for size in [0, 3, 2048, 0xFFFF] as [UInt16] { check(.size(UInt32(size), maximum: 1024), size: size) }
        check(.misaligned(.descriptorTable, GuestAddress(8)), 8)
        check(.misaligned(.driverArea, GuestAddress(0x1001)), 0, 0x1001)
        check(.misaligned(.deviceArea, GuestAddress(0x2002)), 0, 0x1000, 0x2002)
        check(.notInRAM(.descriptorTable, GuestAddress(0xF_FFF0), byteCount: 128), 0xF_FFF0)
        check(.notInRAM(.driverArea, GuestAddress(0xF_FFFE), byteCount: 22), 0, 0xF_FFFE)
        check(.notInRAM(.deviceArea, GuestAddress(.max - 3), byteCount: 70), 0, 0x1000, .max - 3)
    }
}

import AerostatGuestMemory
import AerostatMigration

#if BrokenEngines
    import AerostatHost
#endif

/// One direction of a link: the bytes on their way, and what happens to them.
final class Wire {
    /// Bytes that left the sender and have not arrived.
    private(set) var bytes: [UInt8] = []
    private var head = 0
    private let capacity: Int
    /// Bytes taken so far.
    private(set) var total = 0
    /// Nothing passes after this many bytes.
    var cutAfter = Int.max
    /// After this many bytes nothing moves for a while.
    var stallAfter = Int.max
    var isStalled: () -> Bool = { false }
    /// Whether the cut also loses the bytes on their way.
    var losesBytesOnTheWay = false
    private(set) var isCut = false
    /// The sender is gone. The bytes on their way still arrive, then no more.
    var isClosed = false
    /// The receiver is gone.
    var isReaderGone = false

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { bytes.count - head }
    /// How many bytes the wire takes now. After the cut it swallows everything.
    var room: Int {
        if isCut || total >= stallAfter && isStalled() { return 0 }
        return max(0, min(capacity - count, cutAfter - total))
    }
    var isEnded: Bool { (isClosed || isCut) && count == 0 }

    func push(_ chunk: ArraySlice<UInt8>) {
        precondition(chunk.count <= room, "more than the wire takes")
        bytes.append(contentsOf: chunk)
        total += chunk.count
        cutIfDue()
    }

    var isCutDue: Bool { !isCut && total >= cutAfter }
    func cutIfDue() { if isCutDue { cut() } }

    func cut() {
        isCut = true
        if losesBytesOnTheWay { _ = pull(count) }
    }

    func pull(_ wanted: Int) -> ArraySlice<UInt8> {
        let taken = bytes[head..<head + min(wanted, count)]
        head += taken.count
        if head == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            head = 0
        }
        return taken
    }
}

/// What the source's frames said, recorded independently of the engine's own account; and the faults that act on frames.
final class WireAccount {
    private let world: World
    /// What the destination was last told about each page.
    private(set) var lastWord: [RunDescriptor.Kind?]
    /// Pages that were ever sent as data or as zero.
    private var carried: Set<Int> = []
    private(set) var normalPages = 0
    private(set) var zeroPages = 0
    private(set) var freePages = 0
    private(set) var hasCommitted = false
    private(set) var frames = 0
    /// The content of pinned pages when the host took them away.
    private(set) var pinned: [Int: [UInt8]] = [:]

    private let discards: DiscardWatch

    init(_ world: World, from source: Machine) {
        self.world = world
        discards = source.discards
        lastWord = Array(repeating: nil, count: world.regions.pageCount)
    }

    func note(_ frame: Frame) {
        frames += 1
        world.note("sends \(Self.summary(frame))")
        switch frame {
        case .commit: hasCommitted = true
        case .runs(let runs, _):
            for descriptor in runs {
                switch descriptor.kind {
                case .data: normalPages += descriptor.run.count
                case .zero: zeroPages += descriptor.run.count
                case .free: freePages += descriptor.run.count
                }
                for page in descriptor.run.indices { lastWord[page] = descriptor.kind }
                if descriptor.kind != .free { carried.formUnion(descriptor.run.indices) }
            }
        default: break
        }
    }

    /// A page is put on the wire, where it may still be when the page is given back.
    func reads(_ page: Int) { discards.read.insert(page) }

    func neverCarried(_ page: PageIndex) -> Bool { !carried.contains(page.rawValue) }

    static func summary(_ frame: Frame) -> String {
        guard case .runs(let runs, let round) = frame else { return "\(frame.kind)" }
        return "runs of round \(round): " + runs.map { "\($0.kind) \($0.run.indices)" }.joined(separator: ", ")
    }

    /// The host takes a page away. Buffers registered with io_uring would keep the old page (rule "no fixed buffers"); the simulated wire
    /// can do the same.
    func hostTakes(_ page: PageIndex, of memory: GuestRAM) {
        #if BrokenEngines
            guard BrokenEngine.isActive(.fixedBuffer), pinned[page.rawValue] == nil else { return }
            pinned[page.rawValue] = try? memory.read(at: memory.regions.address(of: page), byteCount: GuestPage.size)
        #endif
    }
}

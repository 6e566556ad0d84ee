import AerostatGuestMemory
import AerostatMigration

#if BrokenEngines
    import AerostatHost
#endif

/// One direction of a link: bytes on their way, and what becomes of them.
final class Wire {
    /// Bytes that left the sender and did not arrive.
    private(set) var bytes: [UInt8] = []
    private var head = 0
    private let capacity: Int
    /// Bytes taken so far.
    private(set) var total = 0
    /// Nothing passes behind so many bytes.
    var cutAfter = Int.max
    /// Behind so many bytes nothing moves for a while.
    var stallAfter = Int.max
    var isStalled: () -> Bool = { false }
    /// What was on its way is lost with the cut.
    var losesBytesOnTheWay = false
    private(set) var isCut = false
    /// The sender is gone: what is on its way arrives, and then no more.
    var isClosed = false
    /// The receiver is gone.
    var isReaderGone = false

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { bytes.count - head }
    /// How many bytes it takes now; behind the cut it swallows all.
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

/// What the source's frames said, read off independently of the engine's own account, and the injuries that act on frames.
final class WireAccount {
    private let world: World
    /// What the destination was last told of each page.
    private(set) var lastWord: [RunDescriptor.Kind?]
    /// Pages of which data, or that they are zero, was ever sent.
    private var carried: Set<Int> = []
    private(set) var normalPages = 0
    private(set) var zeroPages = 0
    private(set) var freePages = 0
    private(set) var hasCommitted = false
    private(set) var frames = 0
    /// What pinned pages held when the host took them away.
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

    /// A page is put on the wire, where somebody may have it while it is given back.
    func reads(_ page: Int) { discards.read.insert(page) }

    func neverCarried(_ page: PageIndex) -> Bool { !carried.contains(page.rawValue) }

    static func summary(_ frame: Frame) -> String {
        guard case .runs(let runs, let round) = frame else { return "\(frame.kind)" }
        return "runs of round \(round): " + runs.map { "\($0.kind) \($0.run.indices)" }.joined(separator: ", ")
    }

    /// The host takes a page away. Buffers registered with io_uring would keep the old page (rule "no fixed buffers"): the simulated wire
    /// can too.
    func hostTakes(_ page: PageIndex, of memory: GuestRAM) {
        #if BrokenEngines
            guard BrokenEngine.isActive(.fixedBuffer), pinned[page.rawValue] == nil else { return }
            pinned[page.rawValue] = try? memory.read(at: memory.regions.address(of: page), byteCount: GuestPage.size)
        #endif
    }
}

import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO

/// A peer's stream, taken by the real `DestinationMigration` over a link that has it all already.
///
/// The input is one byte of flags and then the stream, in which each page is eight bytes (they fill it). Flag 1 leaves sequence numbers
/// and checksums as they are; without it they are made right, so that what lies behind them is reached. Flag 2 asks for a certain shape.
enum StreamTarget: FuzzTarget {
    /// Larger guests are refused as if there were no memory for them.
    static let maximumPages = 256
    private static let doorbell = must { try Doorbell() }

    static func run(_ input: [UInt8]) {
        var input = FuzzInput(input)
        let flags = input.take(UInt8.self)
        let link = ForeignLink(input, repairs: flags & 1 == 0)
        let shape = flags & 2 == 0 ? nil : must { try RegionTable(contiguousBytes: 16 << 12) }
        let destination = DestinationMigration(
            link,
            shape: shape,
            doorbell: doorbell,
            startsGuest: true,
            arrived: { _, _ in demand(link.hasCommitted, "a guest arrives with the commit") }
        ) { (regions, requirements) throws(GuestError) in
            demand(requirements.count <= DeviceSection.maximumCount, "requirements are bounded")
            demand(shape == nil || shape == regions, "a guest has the shape that was asked for")
            guard regions.pageCount <= maximumPages else { throw GuestError("too large for a fuzzer") }
            do {
                let guest = IdleGuest(try GuestRAM(regions), link: link)
                link.model = PageModel(guest.memory)
                return guest
            } catch { fatalError("no memory: \(error)") }
        }
        if case .running = destination.run() {
            demand(link.hasCommitted && link.ready?.differences == 0, "a guest runs after a commit, and only where nothing differed")
        }
        link.model?.expectMemory()
    }
}

/// What has been accepted so far, page by page, in the simplest form: the oracle.
struct PageModel {
    enum Page: Hashable { case absent, data(UInt64), zero, free }

    private let memory: GuestRAM
    private var pages: [Page]
    private var compared: Set<Int> = []
    private(set) var expected = Ready()

    init(_ memory: GuestRAM) {
        self.memory = memory
        pages = Array(repeating: .absent, count: memory.pageCount)
    }

    mutating func apply(_ runs: [RunDescriptor], _ stamps: [UInt64]) {
        var stamps = stamps[...]
        for descriptor in runs {
            for page in descriptor.run.indices {
                switch descriptor.kind {
                case .data: pages[page] = .data(stamps.popFirst()!)
                case .zero: pages[page] = .zero
                case .free: pages[page] = .free
                }
            }
        }
    }

    mutating func compare(_ digests: DigestRun) {
        for (offset, digest) in digests.digests.enumerated() {
            let page = digests.first.rawValue + offset
            compared.insert(page)
            if pages[page] == .free {
                note(page)
                continue
            }
            expected.pagesCompared += 1
            if case .data(let stamp) = pages[page] {
                if Self.digest(stamp) != digest { note(page) }
            } else if digest != PageDigest.zeroPage {
                note(page)
            }
        }
    }

    mutating func finishComparison() {
        expected.pagesFree = pages.count { $0 == .free }
        for (index, page) in pages.enumerated() where !compared.contains(index) {
            if case .data(let stamp) = page, stamp != 0 { note(index) }
        }
    }

    private mutating func note(_ page: Int) {
        expected.differences += 1
        expected.firstDifference = min(expected.firstDifference ?? .max, page)
    }

    private static func digest(_ stamp: UInt64) -> UInt64 {
        unsafe [UInt64](repeating: stamp, count: 512).withUnsafeBytes { unsafe PageDigest.digest($0.baseAddress!) }
    }

    func expectMemory() {
        for (index, page) in pages.enumerated() {
            let address = memory.regions.address(of: PageIndex(index))
            let stamp = if case .data(let stamp) = page { stamp } else { UInt64(0) }
            for offset in [0, 2048, 4088] as [UInt64] {
                let found = must { try memory.load(UInt64.self, at: GuestAddress(address.rawValue + offset)) }
                demand(found == stamp, "page \(index) is \(page) and holds \(found)")
            }
        }
    }
}

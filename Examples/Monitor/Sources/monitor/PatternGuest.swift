import AerostatGuestMemory
import AerostatHost
import AerostatMigration

/// The monitor's guest: one vCPU that writes a pattern over all of its memory, round and round.
///
/// A page holds its number, the round in which it was written, and a check word at its end. So whoever stops the guest anywhere knows what
/// each page must hold.
final class PatternGuest: Guest {
    /// The address space: 16 MiB at 0, and 64 MiB at 4 GiB of which the upper half has no memory behind it yet.
    static let regions = [
        MemoryRegion(base: GuestAddress(0), byteCount: 16 << 20), MemoryRegion(base: GuestAddress(4 << 30), byteCount: 64 << 20),
    ]
    /// The first destination that does not know this section refuses the guest by its name.
    static let requirements = [DeviceSection(name: "example-pattern", version: 1, bytes: [])]
    static let registersName = "example-vcpu"

    let memory: GuestRAM
    let tracker: any DirtyTracker
    let hinting: (any FreePageHinting)? = nil
    var requirements: [DeviceSection] { Self.requirements }

    /// All that the guest has beside RAM.
    private struct VCPU {
        var round: UInt64 = 1
        /// How many pages were written in this round.
        var done = 0
        var runs = false
        var hasEnded = false
    }

    private let vcpu = Monitor(VCPU())
    /// The pages that are present.
    private let pages: [PageIndex]

    init() throws {
        let table = try RegionTable(Self.regions)
        // Memory that the monitor has already, and memory that the library makes. The rest of the space is absent.
        let own = try OwnMemory(byteCount: Int(Self.regions[0].byteCount))
        let upper = MemoryRegion(base: Self.regions[1].base, byteCount: 32 << 20)
        let memory = try GuestRAM(
            table,
            blocks: [MemoryBlock(Self.regions[0], .adopted(own.adopted)), MemoryBlock(upper, .memfd)]
        )
        self.memory = memory
        tracker = try makeTracker(nil, for: memory)
        pages = memory.hostRanges().flatMap { range in
            let first = table.page(containing: range.region.base)!.rawValue
            return (first..<first + range.region.pageCount).map { PageIndex($0) }
        }
        _ = try HostThread(name: "vcpu") { [vcpu, memory, pages] in Self.run(vcpu, memory, pages) }
    }

    deinit { vcpu.update { $0.hasEnded = true } }

    /// The vCPU's thread writes one page for each hold of the lock, so nobody who holds it sees half a page.
    private static func run(_ vcpu: Monitor<VCPU>, _ memory: GuestRAM, _ pages: [PageIndex]) {
        while true {
            let goesOn = vcpu.wait { vcpu -> Bool? in
                if vcpu.hasEnded { return false }
                guard vcpu.runs else { return nil }
                write(pages[vcpu.done], vcpu.round, memory)
                vcpu.done += 1
                if vcpu.done == pages.count { (vcpu.round, vcpu.done) = (vcpu.round + 1, 0) }
                return true
            }
            guard goesOn == true else { return }
        }
    }

    // MARK: The pattern

    /// What a page holds: where, and which word. Round 0 is before the first.
    private static func words(_ page: PageIndex, _ round: UInt64) -> [(offset: UInt64, value: UInt64)] {
        let number = UInt64(page.rawValue)
        let check = (round << 32 | number) &* 0x9E37_79B9_7F4A_7C15
        let values = round == 0 ? [0, 0, 0] : [number, round, check]
        return zip([0, 8, 4088], values).map { (offset: $0, value: $1) }
    }

    /// Through the write door, which every tracker sees. (One that looks at the page tables would also see a plain store to the memory.)
    private static func write(_ page: PageIndex, _ round: UInt64, _ memory: GuestRAM) {
        let base = memory.regions.address(of: page).rawValue
        do throws(AccessError) {
            for word in words(page, round) { try memory.store(word.value, at: GuestAddress(base + word.offset)) }
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// Looks at every page of the paused guest.
    /// - Returns: how many there are, those that are wrong, and the round in which it stands.
    func check() throws -> (pages: Int, wrong: [PageIndex], round: UInt64) {
        let (round, done) = vcpu.withLock { ($0.round, $0.done) }
        var wrong: [PageIndex] = []
        for (index, page) in pages.enumerated() {
            let base = memory.regions.address(of: page).rawValue
            for word in Self.words(page, index < done ? round : round - 1) {
                let value: UInt64 = try memory.load(at: GuestAddress(base + word.offset))
                if value != word.value, wrong.last != page { wrong.append(page) }
            }
        }
        return (pages.count, wrong, round)
    }

    /// Sleeps until the running guest has written all of its memory so many times more.
    func wait(rounds: UInt64) {
        let goal = vcpu.withLock { $0.round } + rounds
        while vcpu.withLock({ $0.round }) < goal { HostThread.sleep(for: .milliseconds(1)) }
    }

    // MARK: Guest

    /// On return the thread is between two pages.
    func pause() { vcpu.update { $0.runs = false } }
    func resume() { vcpu.update { $0.runs = true } }

    func saveDeviceState() -> [DeviceSection] {
        let (round, done) = vcpu.withLock { ($0.round, UInt64($0.done)) }
        let bytes = [round, done].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
        return [DeviceSection(name: Self.registersName, version: 1, bytes: bytes)]
    }

    /// What comes from another process may be anything.
    func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError) {
        guard let section = sections.first(where: { $0.name == Self.registersName }), section.version == 1, section.bytes.count == 16 else {
            throw GuestError("there is no vCPU of version 1 in the guest's state")
        }
        let words = [0, 8].map { start in (0..<8).reduce(UInt64(0)) { $0 | UInt64(section.bytes[start + $1]) << (8 * $1) } }
        guard words[0] > 0, words[1] < pages.count else { throw GuestError("a vCPU cannot stand at page \(words[1]) of round \(words[0])") }
        vcpu.withLock { ($0.round, $0.done) = (words[0], Int(words[1])) }
    }

    func memoryUse() -> MemoryUse? { nil }
}

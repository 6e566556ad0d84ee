import TestSupport

/// Everything that a seed decides in advance: the guest, the parameters, the faults. The same seed then decides at every step which actor
/// runs next.
///
/// It is a list of numbers, so that a failing scenario can be shrunk number by number, printed, and typed in again.
package struct Scenario: Hashable, Sendable, CustomStringConvertible {
    /// One number of a scenario. 0 is the plainest value for most; `plain` gives it for the others.
    package enum Knob: String, CaseIterable, Sendable {
        // The guest.
        case pages, regions, absentPercent, freePercent, zeroPercent, ring, blockPages, ops, shrinkPercent, raggedPercent, poison
        /// Whether the driver clears each block before it hints it.
        case clears
        /// Whether the driver keeps the id that it answers in one word that every start names, like Linux's driver. Otherwise it waits
        /// until its start was read.
        case oneWord
        /// How often the host takes away a free page, which then reads as zero when it is touched again, in percent of the guest's steps.
        case discardPercent
        // The migration's parameters.
        case hints, verify, downtime, rest, bandwidth, grace, timeout, pausesOnTimeout, shape, sample, survey
        // How fast each actor is, relative to the others.
        case vcpu, driver, hintThread, link, source, destination, step
        /// How often the hint thread does not run at once when it is woken (one time in this many), and for how many steps at most.
        case hintStall, hintDelay
        /// The most bytes that the wire takes at once, as a power of two; and how many bytes it holds.
        case chunk, wire
        // Faults, at a step of the scheduler, a byte of the link, or a frame; 0 is never.
        case cancelAt, pauseAt, resumeAt, resetAt, breakRingAt, lieAt, cutAt, cutBackAt, stallAt, corruptAt, loseAt
        case quitAt, saveFails, loadFails, resumeFails
        /// How many migrations run one after the other.
        case migrations
        /// How often the guest gives memory back to the host, as by inflating a balloon, in percent of its steps; how often it writes to
        /// such a page before the page is gone, in percent; whether guest memory is a file's; and how fast the host takes memory back.
        case giveBackPercent, impatientPercent, memoryFile, balloon
        /// Whether the guest gives memory back through the balloon's real queues instead of a list; how often it reports free pages, in
        /// percent of its steps; how often the host asks for statistics, one time in this many steps; and how often the driver tells before
        /// it uses a page of the balloon again, in percent.
        case queues, reportPercent, statistics, tellsPercent
    }

    package let seed: UInt64
    private var values: [Int]

    package subscript(knob: Knob) -> Int {
        get { values[Self.index(knob)] }
        set { values[Self.index(knob)] = newValue }
    }

    private static let indices = Dictionary(uniqueKeysWithValues: Knob.allCases.enumerated().map { ($1, $0) })
    private static func index(_ knob: Knob) -> Int { indices[knob]! }

    /// The scenario of a seed.
    package init(seed: UInt64) {
        self.seed = seed
        values = Knob.allCases.map(\.plain)
        var random = SeededGenerator(seed: seed ^ 0x5CE7_A210)
        func pick(_ range: ClosedRange<Int>) -> Int { range.lowerBound + Int(random.next() % UInt64(range.count)) }
        func one(of choices: [Int]) -> Int { choices[pick(0...choices.count - 1)] }
        func sometimes(_ percent: Int, _ value: @autoclosure () -> Int) -> Int { pick(1...100) <= percent ? value() : 0 }
        self[.pages] = pick(20...72)
        self[.regions] = pick(1...3)
        self[.absentPercent] = one(of: [0, 10, 30])
        self[.freePercent] = one(of: [10, 40, 70])
        self[.zeroPercent] = one(of: [0, 10, 30])
        self[.ring] = one(of: [8, 8, 16, 32])
        self[.blockPages] = pick(1...6)
        self[.ops] = pick(10...120)
        self[.shrinkPercent] = one(of: [5, 20, 40])
        self[.raggedPercent] = one(of: [0, 20, 50])
        self[.poison] = sometimes(4, 0xAA)
        self[.discardPercent] = sometimes(30, 10)
        self[.hints] = pick(1...100) <= 92 ? 1 : 0
        self[.verify] = sometimes(25, 1)
        self[.downtime] = one(of: [0, 0, 6, 300])
        self[.rest] = one(of: [3, 3, 4, 10])
        self[.bandwidth] = sometimes(10, one(of: [1, 10, 100]))
        self[.grace] = one(of: [0, 1, 20, 1000])
        self[.timeout] = sometimes(15, pick(1...200))
        self[.pausesOnTimeout] = pick(0...1)
        for knob in [Knob.vcpu, .driver, .hintThread, .link, .source, .destination] { self[knob] = one(of: [1, 4, 16, 64]) }
        self[.step] = one(of: [200, 2_000, 20_000])
        self[.hintStall] = one(of: [0, 1, 2, 6])
        self[.chunk] = one(of: [9, 11, 13, 16])
        self[.wire] = one(of: [4096, 20_000, 200_000])
        self[.cancelAt] = sometimes(12, pick(1...1500))
        self[.pauseAt] = sometimes(8, pick(1...1000))
        self[.resumeAt] = sometimes(60, self[.pauseAt] + pick(1...800))
        self[.resetAt] = sometimes(8, pick(1...60))
        self[.breakRingAt] = sometimes(4, pick(1...60))
        self[.lieAt] = sometimes(8, pick(1...60))
        self[.cutAt] = sometimes(10, one(of: [pick(1...400), pick(1...300_000), -pick(1...4)]))
        self[.cutBackAt] = sometimes(5, one(of: [pick(1...300), -pick(1...4)]))
        self[.stallAt] = sometimes(4, one(of: [pick(1...400), pick(1...300_000)]))
        self[.corruptAt] = sometimes(8, pick(1...20_000))
        self[.loseAt] = sometimes(4, pick(2...8))
        self[.saveFails] = sometimes(1, 1)
        self[.loadFails] = sometimes(2, 1)
        self[.resumeFails] = sometimes(2, 1)
        self[.quitAt] = sometimes(3, pick(1...1500))
        self[.shape] = sometimes(1, pick(1...2))
        self[.migrations] = sometimes(25, 1) + 1
        self[.oneWord] = pick(1...3) > 1 ? 1 : 0
        self[.hintDelay] = one(of: [500, 2000, 4000])
        self[.sample] = sometimes(40, pick(1...6))
        self[.survey] = sometimes(40, 1)
        self[.clears] = self[.poison] == 0 ? sometimes(self[.survey] == 1 ? 60 : 10, 1) : 0
        // Later additions come last, so that old seeds keep the numbers above.
        self[.giveBackPercent] = self[.poison] == 0 ? sometimes(40, one(of: [10, 30, 60])) : 0
        self[.impatientPercent] = sometimes(40, one(of: [10, 50]))
        self[.memoryFile] = sometimes(30, 1)
        self[.balloon] = one(of: [1, 4, 16, 64])
        self[.queues] = sometimes(50, 1)
        self[.reportPercent] = self[.queues] == 1 ? sometimes(50, one(of: [5, 20])) : 0
        self[.statistics] = self[.queues] == 1 ? sometimes(40, pick(1...20)) : 0
        self[.tellsPercent] = one(of: [0, 50, 100])
    }

    /// Parses a scenario from its printed form.
    package init?(_ text: String) {
        var seed: UInt64 = 0
        values = Knob.allCases.map(\.plain)
        var found: [Knob: Int] = [:]
        for part in text.split(separator: " ") {
            let sides = part.split(separator: "=")
            guard sides.count == 2 else { return nil }
            if sides[0] == "seed" {
                guard let value = UInt64(sides[1]) else { return nil }
                seed = value
            } else {
                guard let knob = Knob(rawValue: String(sides[0])), let value = Int(sides[1]), abs(value) < 1 << 40 else { return nil }
                found[knob] = value
            }
        }
        self.seed = seed
        for (knob, value) in found { self[knob] = knob.valid(value) }
        dropWhatHasNoQueue()
    }

    /// Switches off reports and statistics if there are no balloon queues, which they need.
    private mutating func dropWhatHasNoQueue() {
        if self[.queues] == 0 { (self[.reportPercent], self[.statistics]) = (0, 0) }
    }

    /// The same scenario with another order of steps.
    func reseeded(_ seed: UInt64) -> Scenario {
        var copy = Scenario(seed: seed)
        copy.values = values
        return copy
    }

    /// The numbers that are not plain.
    package var description: String {
        let parts = Knob.allCases.filter { self[$0] != $0.plain }.map { "\($0.rawValue)=\(self[$0])" }
        return (["seed=\(seed)"] + parts).joined(separator: " ")
    }
}

extension Scenario.Knob {
    /// The value that shrinking tries first.
    var plain: Int {
        switch self {
        case .pages: 20
        case .ring: 8
        case .regions, .blockPages, .hints, .vcpu, .driver, .hintThread, .link, .source, .destination, .migrations, .balloon: 1
        // A round of hints itself writes three pages, so a smaller rest would never be reached.
        case .rest: 3
        case .step: 2000
        case .chunk: 16
        case .wire: 200_000
        case .hintDelay: 500
        default: 0
        }
    }

    /// The nearest valid value at or below this one, or the smallest valid value.
    func valid(_ value: Int) -> Int {
        let value = max(value, smallest)
        // The size of a ring is a power of two.
        return self == .ring ? 1 << (Int.bitWidth - 1 - min(value, 1 << 15).leadingZeroBitCount) : value
    }

    /// The smallest valid value.
    private var smallest: Int {
        switch self {
        case .pages: 20
        case .regions, .blockPages, .vcpu, .driver, .hintThread, .link, .source, .destination, .step, .migrations, .balloon: 1
        case .ring: 8
        case .rest: 3
        case .hintDelay: 2
        case .chunk: 6
        case .wire: 1024
        case .cutAt, .cutBackAt: -64
        default: 0
        }
    }
}

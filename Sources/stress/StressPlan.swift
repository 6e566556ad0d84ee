import AerostatGuestMemory
import AerostatMicroVM
import AerostatMigration
import AerostatModelGuest

/// What one round does. All of it is drawn from one seed.
struct StressPlan {
    let seed: UInt64
    let guest: StressShape
    private(set) var hops: [StressHop]

    /// The seed of a round. Seeds are spread over the whole range of the generator.
    static func seed(ofRound round: Int, in hunt: UInt64) -> UInt64 {
        var random = SplitMix(state: hunt &+ UInt64(truncatingIfNeeded: round) &* 0xD134_2543_DE82_EF95)
        return random.next()
    }

    init(seed: UInt64) {
        self.seed = seed
        var random = SplitMix(state: seed)
        let guest = StressShape(&random)
        let hops = (0..<random.weighted([1: 4, 2: 4, 3: 2, 4: 1])).map { _ in StressHop(&random, guest) }
        // Drawn last, so that without KVM all other rounds stay the same.
        if random.chance(12), MicroVM.unavailability == nil {
            self.guest = StressShape(tiny: &random)
            self.hops = hops.map { $0.underKVM(&random) }
        } else {
            (self.guest, self.hops) = (guest, hops)
        }
        // Of their own, so that a seed draws everything else as it did before.
        var wishes = SplitMix(state: seed ^ 0xB411_00B4_1100_B411)
        for index in self.hops.indices { self.hops[index].wishes = StressWish.some(&wishes, self.guest) }
    }
}

/// The guest of a round.
struct StressShape {
    let mebibytes: Int
    /// Whether nearly all of its memory was never touched.
    let isHollow: Bool
    /// In per mille of its memory: what the guest uses from its start.
    let used: Int
    /// Its balloon driver does what Linux's does, and nobody takes it away.
    let hasSteadyBalloon: Bool
    /// Where its RAM lies: guest-physical addresses.
    let regions: [Range<Int>]
    let arguments: [String]
    /// Guest-physical memory that changes while the guest runs.
    let pulse: Range<Int>

    /// The tiny guest under KVM.
    init(tiny random: inout SplitMix) {
        (mebibytes, isHollow, used, hasSteadyBalloon) = (random.number(12...64), false, 0, false)
        regions = [0..<mebibytes << 20]
        let shape = ["--guest", "tiny", "--memory", "\(mebibytes)MiB", "--vcpus", "\(random.number(1...3))"]
        arguments = shape + ["--seed", "\(random.next() >> 1)"] + Self.machineTracker(&random)
        // The record of the guest's processors (TinyGuest).
        pulse = 0x10_2000..<0x10_3000
    }

    init(_ random: inout SplitMix) {
        // The records of the guest's processors, pages 1 and 2 (KernelLayout). They change with each timer tick.
        pulse = 4096..<12288
        // Mostly small guests: pages are lost in races, which need many rounds and not many bytes.
        mebibytes = random.weighted([16: 8, 24: 4, 32: 10, 64: 12, 128: 6, 256: 2, 512: 2, 16384: 2, 65536: 2])
        isHollow = mebibytes > 512
        // In per mille. Of a hollow guest a few MiB exist, and there are more free blocks to tell of than a round has time for.
        used = isHollow ? 65536 / mebibytes : random.number(10...500)
        let freed = isHollow ? used : random.number(0...(850 - used))
        // Offered memory is needed again before the device hears of it.
        let isPressed = random.chance(20)
        let driver = isPressed ? .slow : Self.driver(&random)
        regions = Self.regions(&random, mebibytes: mebibytes, atLeast: driver == .outsideRAM ? 2 : 1)
        var arguments = ["--memory", "\(mebibytes)MiB"]
        for (before, behind) in zip(regions, regions.dropFirst()) { arguments += ["--hole", "\(before.upperBound)-\(behind.lowerBound)"] }
        arguments += ["--used", "\(Double(used) / 10)%", "--freed", "\(Double(freed) / 10)%"]
        arguments += ["--fragmentation", "\(random.chance(60) ? 0 : random.number(1...60))%"]
        arguments += ["--vcpus", "\(random.weighted([1: 4, 2: 4, 3: 1, 4: 1]))", "--seed", "\(random.next() >> 1)"]
        switch isPressed ? 4 : random.weighted([0: 1, 1: 3, 2: 7, 3: 2, 4: 3]) {
        case 0: arguments += ["--workload", "idle"]
        case 1:
            arguments += ["--workload", "steady", "--write-rate", "\(random.spread(1...400))MiB"]
            arguments += ["--working-set", "\(random.number(1...min(mebibytes, 512)))MiB"]
        case 2:
            arguments += ["--workload", "churn", "--write-rate", "\(random.chance(40) ? 4096 : random.spread(8...800))MiB"]
        // A lost page must not be freed again before the migration is over.
        case 4: arguments += ["--workload", "squeeze", "--write-rate", "\(random.spread(15...200))MiB"]
        default: arguments += ["--workload", "hog"]
        }
        if random.chance(30) {
            arguments += ["--poison", random.chance(80) ? "0" : "0xaaaaaaaa"]
        } else if random.chance(40) {
            arguments.append("--init-on-alloc")
        }
        if driver != .correct { arguments += ["--balloon-driver", driver.rawValue] }
        // Free memory goes back to the host while the guest migrates, and the driver is loaded and unloaded.
        if random.chance(40) { arguments += ["--reporting-delay", "\(random.spread(1...2000))ms"] }
        let isDisturbed = random.chance(25)
        if isDisturbed { arguments += ["--balloon-disturbance", "\(random.spread(20...3000))ms"] }
        hasSteadyBalloon = driver == .correct && !isDisturbed
        self.arguments = arguments + Self.tracker(&random, software: isPressed ? 60 : 35)
    }

    private static func driver(_ random: inout SplitMix) -> DriverBehaviour {
        guard random.chance(50) else { return .correct }
        // Drivers that a weak engine would believe are drawn more often.
        let more: [DriverBehaviour] = [
            .reloading, .reloading, .staleID, .staleID, .unaligned, .outsideRAM, .indexJump,
        ]
        return (DriverBehaviour.allCases.dropFirst() + more).randomElement(using: &random)!
    }

    /// RAM in regions that end on any page, also in the middle of a block of the top order.
    private static func regions(_ random: inout SplitMix, mebibytes: Int, atLeast least: Int) -> [Range<Int>] {
        let pages = mebibytes << 8
        let count = mebibytes < 32 ? 1 : max(least, random.weighted([1: 6, 2: 3, 3: 2, 4: 1]))
        // The first region holds the kernel's rings, and the memory in use begins low.
        let cuts = Set((1..<count).map { _ in random.number(1024...pages / 2) }).sorted()
        var regions: [Range<Int>] = []
        var (start, done) = (0, 0)
        for cut in cuts + [pages] {
            regions.append(start << 12..<(start + cut - done) << 12)
            start += cut - done + random.spread(1...1 << 18)
            done = cut
        }
        return regions
    }

    static func machineTracker(_ random: inout SplitMix) -> [String] {
        let kinds: [TrackerKind] = [.kvmDirtyLog, .kvmDirtyRing, .pagemapScan]
        return random.chance(25) ? [] : ["--tracker", kinds.randomElement(using: &random)!.rawValue]
    }

    static func tracker(_ random: inout SplitMix, software percent: Int = 35) -> [String] {
        random.chance(percent) ? ["--tracker", "software"] : []
    }
}

/// One migration of a round.
struct StressHop {
    enum Route: String { case tcp, unix, image }

    let route: Route
    let usesHints: Bool
    /// Arguments of `aerostat migrate`.
    let arguments: [String]
    /// Arguments of the process that receives the guest.
    private(set) var placeArguments: [String]
    /// Whether the guest is kept paused at the destination, and both memories are dumped and compared.
    private(set) var compares: Bool
    /// Whether the next migration begins at once, without checks between.
    let isRushed: Bool
    /// Whether the timeout may cancel it.
    let mayTimeOut: Bool
    let injuries: [StressInjury]
    /// What is asked of the guest's balloon.
    fileprivate(set) var wishes: [StressWish] = []

    init(_ random: inout SplitMix, _ guest: StressShape) {
        route = [Route.tcp, .tcp, .unix, .unix, .image].randomElement(using: &random)!
        usesHints = random.chance(80)
        compares = random.chance(35) && !guest.isHollow
        isRushed = !compares && random.chance(25)
        var arguments = usesHints ? [] : ["--no-hints"]
        if random.chance(30) { arguments.append("--verify") }
        if random.chance(50) { arguments += ["--downtime-limit", "\(random.spread(1...300))ms"] }
        if random.chance(40) { arguments += ["--bandwidth-limit", "\(random.spread(400...8000))M"] }
        if random.chance(40) { arguments += ["--hint-grace", "\(random.spread(1...1500) - 1)ms"] }
        let limited = random.chance(25)
        mayTimeOut = limited && random.chance(40)
        // Without a timeout, a guest that writes faster than the link would migrate for ever.
        arguments += ["--timeout", "\(limited ? random.spread(20...1500) : 2500)ms", "--on-timeout", mayTimeOut ? "cancel" : "pause"]
        var place = StressShape.tracker(&random)
        if route == .image {
            arguments += ["--sync", ImageSync.allCases.randomElement(using: &random)!.rawValue]
            if random.chance(40) { place.append("--preload") }
        }
        if compares { place.append("--paused") }
        self.arguments = arguments
        placeArguments = place
        let route = route
        let count = random.weighted([0: 5, 1: 8, 2: 2, 3: 1])
        injuries = (0..<count).map { _ in StressInjury(&random, through: route, mebibytes: min(guest.mebibytes, 512)) }
    }
}

extension StressHop {
    /// The same hop for a guest under KVM. It has its own trackers, and its dumps are not compared, because that needs a model guest's
    /// tables.
    fileprivate func underKVM(_ random: inout SplitMix) -> StressHop {
        var hop = self
        hop.compares = false
        hop.placeArguments = placeArguments.filter { $0 == "--preload" } + StressShape.machineTracker(&random)
        return hop
    }
}

extension SplitMix {
    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// A random number, spread logarithmically: 1 to 10 is as likely as 10 to 100.
    mutating func spread(_ range: ClosedRange<Int>) -> Int {
        var low = range.lowerBound
        while low < range.upperBound, chance(75) { low = min(range.upperBound, max(low + 1, low * 2)) }
        return number(low...min(range.upperBound, max(low, low * 2)))
    }

    mutating func chance(_ percent: Int) -> Bool { number(0...99) < percent }

    /// One of the keys. The values are their relative weights.
    mutating func weighted(_ weights: KeyValuePairs<Int, Int>) -> Int {
        var left = number(0...(weights.reduce(0) { $0 + $1.value } - 1))
        for (key, weight) in weights {
            if left < weight { return key }
            left -= weight
        }
        preconditionFailure("the weights were added up")
    }
}

public import AerostatGuestMemory
import AerostatMigration
public import AerostatModelGuest
import AerostatQMP
public import ArgumentParser

/// The options that describe a guest, shared by `run` and `demo`.
struct GuestOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The guest's RAM, 16MiB to 16TiB in whole pages (default: 256MiB; demo: 1GiB).", valueName: "size"),
        transform: Self.memory
    )
    var memory: Int?

    // Absent options are `nil`, not the default: an incoming guest is already made, and options that contradict that are refused.

    @Option(
        name: .customLong("hole"),
        help: ArgumentHelp(
            "Guest-physical addresses without RAM, such as 3GiB-4GiB. RAM continues above them. Can be repeated, in ascending order.",
            valueName: "from-to"
        ),
        transform: Self.addresses
    )
    var holes: [Range<UInt64>] = []

    @Option(
        help: ArgumentHelp(
            "Share of RAM that is allocated and filled at start (default: 10%, or what --freed leaves).",
            valueName: "share"
        ),
        transform: Values.percentage
    )
    var used: Double?

    @Option(
        help: ArgumentHelp(
            "Share of RAM that is filled at start and then freed (default: 50%, or what --used leaves).",
            valueName: "share"
        ),
        transform: Values.percentage
    )
    var freed: Double?

    @Option(
        help: ArgumentHelp("Share of the freed memory that stays in blocks too small to be hinted (default: 0%).", valueName: "share"),
        transform: Values.percentage
    )
    var fragmentation: Double?

    @Flag(
        help: "The small blocks of --fragmentation are halves, of 2 MiB, which are reported but not hinted; the other halves stay in use."
    )
    var halves = false

    @Option(
        help: ArgumentHelp(
            "The guest fills memory with this word of 32 bits, such as 0 or 0xaaaaaaaa, when it frees it, and tells the balloon device "
                + "(default: freed memory keeps its content).",
            valueName: "word"
        ),
        transform: Self.word
    )
    var poison: UInt32?

    @Flag(
        help: ArgumentHelp(
            "The guest clears memory when it allocates it, including the blocks that it hints, as Linux does with init_on_alloc "
                + "(Debian's default)."
        )
    )
    var initOnAlloc = false

    @Option(
        help: ArgumentHelp(
            "How long after memory became free the guest reports its large blocks to the host, such as 2s, as Linux does (absent: never).",
            valueName: "time"
        ),
        transform: { try Values.duration($0) }
    )
    var reportingDelay: Duration?

    @Option(
        help: ArgumentHelp(
            "How often the guest moves a page of its balloon, as Linux's compaction does (absent: never).",
            valueName: "time"
        ),
        transform: { try Values.duration($0) }
    )
    var compaction: Duration?

    @Option(
        help: ArgumentHelp(
            "How often the balloon driver is unloaded and loaded again, sleeps, or starts anew with a reboot (absent: never).",
            valueName: "time"
        ),
        transform: { try Values.duration($0) }
    )
    var balloonDisturbance: Duration?

    @Flag(help: "The balloon takes pages side by side, where Linux takes what it gets.")
    var balloonRuns = false

    @Option(help: "What the guest does: idle, steady, churn, squeeze or hog (default: idle).")
    var workload: WorkloadName?

    @Option(
        help: ArgumentHelp("How many bytes a second steady, churn and squeeze write, 4KiB to 1TiB (default: 100MiB).", valueName: "size"),
        transform: Self.writeRate
    )
    var writeRate: Int?

    @Option(
        help: ArgumentHelp("Memory that steady rewrites again and again, at most what is used (default: 256MiB).", valueName: "size"),
        transform: Self.workingSet
    )
    var workingSet: Int?

    @Option(help: "Virtual CPUs, each a thread; 1 to 64 (default: 1).")
    var vcpus: Int?

    @Option(help: "The seed of all random choices in the guest (default: 1).")
    var seed: UInt64?

    @Option(
        help: ArgumentHelp(
            "How dirty pages are tracked: pagemap-scan or software; under KVM kvm-dirty-log, kvm-dirty-ring or pagemap-scan (default: the "
                + "best that works)."
        )
    )
    var tracker: TrackerKind?

    enum WorkloadName: String, ExpressibleByArgument, CaseIterable {
        case idle, steady, churn, squeeze, hog
    }

    /// The memory that the options describe; `nil` if they do not.
    /// - Parameter defaultMemory: the size if only holes were given.
    func regions(defaultMemory: UInt64? = nil) throws -> RegionTable? {
        guard let bytes = memory.map({ UInt64($0) }) ?? defaultMemory else {
            if holes.isEmpty { return nil }
            throw ValidationError("--hole goes with --memory")
        }
        var regions: [MemoryRegion] = []
        var (start, left) = (UInt64(0), bytes)
        for hole in holes where left > 0 {
            guard hole.lowerBound >= start else { throw ValidationError("--hole: the holes must be in ascending order, and apart") }
            let count = min(left, hole.lowerBound - start)
            if count > 0 { regions.append(MemoryRegion(base: GuestAddress(start), byteCount: count)) }
            (start, left) = (hole.upperBound, left - count)
        }
        if left > 0 { regions.append(MemoryRegion(base: GuestAddress(start), byteCount: left)) }
        do throws(RegionTableError) { return try RegionTable(regions) } catch {
            throw ValidationError("\(holes.isEmpty ? "--memory" : "--memory and --hole"): \(error)")
        }
    }

    private static let defaultWriteRate = 100 << 20

    /// What the guest should do; `nil` if no option says so.
    var chosenWorkload: Workload? {
        let rate = writeRate ?? Self.defaultWriteRate
        return switch workload {
        case nil: nil
        case .idle: .idle
        case .steady: .steady(writeRate: rate, workingSet: workingSet ?? Workload.defaultWorkingSet)
        case .churn: .churn(rate: rate)
        case .squeeze: .squeeze(rate: rate)
        case .hog: .hog
        }
    }

    /// Refuses options that only some workloads have.
    /// - Parameter absence: what it means if no workload was given.
    func checkWorkload(absence: String) throws {
        if workload == nil, writeRate != nil || workingSet != nil {
            throw ValidationError("--write-rate and --working-set go with --workload: \(absence)")
        }
        if writeRate != nil, workload == .idle || workload == .hog {
            throw ValidationError("--write-rate goes with --workload steady, churn or squeeze, not \(workload?.rawValue ?? "")")
        }
        if workingSet != nil, workload != .steady {
            throw ValidationError("--working-set goes with --workload steady, not \(workload?.rawValue ?? "")")
        }
    }

    /// Refuses options for making a guest when no guest is made.
    /// - Parameters:
    ///   - option: the option that says where the guest comes from instead.
    ///   - reason: why the other options mean nothing there.
    ///   - allowed: options that are accepted all the same.
    func refuseMaking(
        with option: String,
        because reason: String = "the guest comes as it is",
        except allowed: Set<String> = []
    ) throws {
        let said: [(String, Bool)] = [
            ("--used", used != nil), ("--freed", freed != nil), ("--fragmentation", fragmentation != nil), ("--workload", workload != nil),
            ("--write-rate", writeRate != nil), ("--working-set", workingSet != nil), ("--vcpus", vcpus != nil), ("--seed", seed != nil),
            ("--poison", poison != nil), ("--init-on-alloc", initOnAlloc), ("--hole", !holes.isEmpty),
            ("--reporting-delay", reportingDelay != nil), ("--compaction", compaction != nil),
            ("--balloon-disturbance", balloonDisturbance != nil), ("--balloon-runs", balloonRuns),
            ("--halves", halves),
        ]
        for (name, isSaid) in said where isSaid && !allowed.contains(name) {
            throw ValidationError("\(name) has no meaning with \(option): \(reason)")
        }
    }

    /// All given options but `--memory`, as arguments for another process.
    var arguments: [String] {
        let said: [(String, String?)] = [
            ("--used", used.map(Self.text)), ("--freed", freed.map(Self.text)), ("--fragmentation", fragmentation.map(Self.text)),
            ("--poison", poison.map { "\($0)" }),
            ("--workload", workload?.rawValue), ("--write-rate", writeRate.map { "\($0)" }), ("--working-set", workingSet.map { "\($0)" }),
            ("--vcpus", vcpus.map { "\($0)" }), ("--seed", seed.map { "\($0)" }), ("--tracker", tracker?.rawValue),
            ("--reporting-delay", reportingDelay.map(Self.text)), ("--compaction", compaction.map(Self.text)),
            ("--balloon-disturbance", balloonDisturbance.map(Self.text)),
        ]
        let flags: [(String, Bool)] = [("--init-on-alloc", initOnAlloc), ("--balloon-runs", balloonRuns), ("--halves", halves)]
        var arguments = said.flatMap { name, value in value.map { [name, $0] } ?? [] }
        for hole in holes { arguments += ["--hole", "\(hole.lowerBound)-\(hole.upperBound)"] }
        return arguments + flags.filter(\.1).map(\.0)
    }

    /// - Parameter defaultMemory: the size if `--memory` is absent.
    func configuration(defaultMemory: UInt64, driver: DriverBehaviour = .correct) throws -> ModelGuestConfiguration {
        var configuration = ModelGuestConfiguration(memory: try regions(defaultMemory: defaultMemory)!)
        try checkBehaviour()
        configuration.vcpus = vcpus ?? configuration.vcpus
        configuration.seed = seed ?? configuration.seed
        (configuration.usedShare, configuration.freedShare) = try shares(configuration)
        configuration.fragmentationShare = fragmentation ?? configuration.fragmentationShare
        configuration.driver = driver
        configuration.poison = poison
        configuration.clearsAllocated = initOnAlloc
        configuration.reportingDelay = reportingDelay
        configuration.compactionInterval = compaction
        configuration.disturbanceInterval = balloonDisturbance
        configuration.leavesHalves = halves
        configuration.inflatesInRuns = balloonRuns
        configuration.workload = chosenWorkload ?? .idle
        do throws(ModelGuestConfiguration.Invalid) { try configuration.validate() } catch { throw ValidationError("\(error)") }
        return configuration
    }
}

extension TrackerKind: ExpressibleByArgument {}
extension DriverBehaviour: ExpressibleByArgument {}

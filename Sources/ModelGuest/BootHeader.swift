import AerostatGuestMemory

/// The first words of guest RAM: the kernel's parameters. Boot writes them. A guest that is made from an image may get another workload
/// before it runs.
///
/// All fields are integers in the host's order (little-endian everywhere Aerostat runs), so the Swift struct is the format.
struct BootHeader: BitwiseCopyable {
    /// 2: frame records know opaque pages. 3: they know poisoned ones. 4: the whole balloon.
    static let currentVersion: UInt64 = 4
    static let magicWord: UInt64 = 0x4C45_444F_4D52_4541  // "AERMODEL"

    var magic = Self.magicWord
    var version = Self.currentVersion
    var pageCount: UInt64
    var vcpus: UInt64
    var seed: UInt64
    /// An index into `WorkloadKind.allCases`. The workload's parameters follow.
    private(set) var workload: UInt64 = WorkloadKind.idle.rawValue
    /// Bytes a second, for each vCPU.
    private(set) var rate: UInt64 = 0
    /// Pages, for each vCPU.
    private(set) var workingSet: UInt64 = 0
    /// How many pages one vCPU's churn holds at most: together half of what was free then (squeeze: 7/8), at most 1 GiB. So churn reaches
    /// the balloon driver's blocks and never starves the guest.
    private(set) var churnPages: UInt64 = 0
    /// An index into `DriverBehaviour.allCases`.
    var driver: UInt64
    /// The word that freed memory is filled with. Above 32 bits if freed memory keeps its content; it may then be cleared when it is
    /// allocated.
    private(set) var poison: UInt64
    /// In nanoseconds of the guest's clock; 0 does without. Free page reporting, the balloon's moves, and the driver's disturbances.
    private(set) var reportingDelay: UInt64
    private(set) var moveInterval: UInt64
    private(set) var disturbanceInterval: UInt64
    /// 1 where the balloon takes pages in runs.
    private(set) var inflatesInRuns: UInt64

    static let noPoison = UInt64.max
    static let clearsAllocated = UInt64.max - 1
    private static let maximumChurnPages: UInt64 = 1 << 18

    enum WorkloadKind: UInt64 { case idle, steady, churn, hog, squeeze }

    /// - Parameter freePages: how many pages are free when the workload begins.
    init(_ behaviour: GuestBehaviour, pageCount: Int, freePages: UInt64) {
        self.pageCount = UInt64(pageCount)
        vcpus = UInt64(behaviour.vcpus)
        seed = behaviour.seed
        driver = UInt64(DriverBehaviour.allCases.firstIndex(of: behaviour.driver)!)
        poison = behaviour.poison.map { UInt64($0) } ?? (behaviour.clearsAllocated ? Self.clearsAllocated : Self.noPoison)
        // No delay at all is the shortest.
        reportingDelay = behaviour.reportingDelay.map { max(1, Self.nanoseconds($0)) } ?? 0
        moveInterval = behaviour.compactionInterval.map(Self.nanoseconds) ?? 0
        disturbanceInterval = behaviour.disturbanceInterval.map(Self.nanoseconds) ?? 0
        inflatesInRuns = behaviour.inflatesInRuns ? 1 : 0
        setWorkload(behaviour.workload, freePages: freePages)
    }

    /// Whole nanoseconds of a time that was validated.
    private static func nanoseconds(_ time: Duration) -> UInt64 {
        let (seconds, attoseconds) = time.components
        return UInt64(clamping: seconds) &* 1_000_000_000 &+ UInt64(clamping: attoseconds / 1_000_000_000)
    }

    /// - Precondition: the header was checked, because this divides by `vcpus`.
    mutating func setWorkload(_ new: Workload, freePages: UInt64) {
        (rate, workingSet, churnPages) = (0, 0, 0)
        switch new {
        case .idle: workload = WorkloadKind.idle.rawValue
        case .hog:
            workload = WorkloadKind.hog.rawValue
            workingSet = .max
        case .steady(let writeRate, let bytes):
            workload = WorkloadKind.steady.rawValue
            rate = UInt64(writeRate) / vcpus
            workingSet = max(1, UInt64(bytes) >> UInt64(GuestPage.shift) / vcpus)
        case .churn(let bytes):
            workload = WorkloadKind.churn.rawValue
            rate = UInt64(bytes) / vcpus
            churnPages = min(freePages / 2, Self.maximumChurnPages) / vcpus
        case .squeeze(let bytes):
            workload = WorkloadKind.squeeze.rawValue
            rate = UInt64(bytes) / vcpus
            churnPages = min(freePages / 8 * 7, Self.maximumChurnPages) / vcpus
        }
    }
}

/// A checked boot header. The header may have come from a peer or a file.
struct KernelParameters: Sendable {
    let vcpus: Int
    let seed: UInt64
    let workload: BootHeader.WorkloadKind
    let rate: UInt64
    let workingSet: UInt64
    let churnPages: UInt64
    let driver: DriverBehaviour
    let poison: UInt32?
    let clearsAllocated: Bool
    /// `nil` where free pages are not reported.
    let reportingDelay: UInt64?
    let moveInterval: UInt64?
    let disturbanceInterval: UInt64?
    let inflatesInRuns: Bool

    init(_ header: BootHeader, pageCount: Int) throws(KernelPanic) {
        guard header.magic == BootHeader.magicWord else { throw KernelPanic("page 0 holds no boot header of the model kernel") }
        guard header.version == BootHeader.currentVersion else {
            throw KernelPanic(
                "the model kernel in RAM has version \(header.version), but only version \(BootHeader.currentVersion) is known here"
            )
        }
        guard header.pageCount == UInt64(pageCount) else {
            throw KernelPanic("the model kernel in RAM was booted with \(header.pageCount) pages, the guest has \(pageCount)")
        }
        guard (1...UInt64(ModelGuestConfiguration.maximumVCPUs)).contains(header.vcpus) else {
            throw KernelPanic("the boot header says \(header.vcpus) vCPUs")
        }
        guard let workload = BootHeader.WorkloadKind(rawValue: header.workload), header.rate <= ModelGuestConfiguration.maximumRate else {
            throw KernelPanic("the boot header names an unknown workload")
        }
        guard header.driver < UInt64(DriverBehaviour.allCases.count) else {
            throw KernelPanic("the boot header names an unknown driver behaviour")
        }
        vcpus = Int(header.vcpus)
        seed = header.seed
        self.workload = workload
        // At least a byte a second, because it is a divisor.
        rate = max(1, header.rate)
        // At least a page, because it bounds a loop.
        workingSet = max(1, header.workingSet)
        churnPages = header.churnPages
        driver = DriverBehaviour.allCases[Int(header.driver)]
        poison = UInt32(exactly: header.poison)
        clearsAllocated = header.poison == BootHeader.clearsAllocated
        // At most an hour, whatever a peer says: times are added up.
        func interval(_ nanoseconds: UInt64) -> UInt64? { nanoseconds == 0 ? nil : min(nanoseconds, 3_600_000_000_000) }
        reportingDelay = interval(header.reportingDelay)
        moveInterval = interval(header.moveInterval)
        disturbanceInterval = interval(header.disturbanceInterval)
        inflatesInRuns = header.inflatesInRuns != 0
    }
}

/// The allocator's counters, in RAM. Reports to the outside are derived from them.
package struct AllocatorState: BitwiseCopyable, Hashable {
    /// Pages in allocated blocks.
    package var allocatedPages: UInt64 = 0
    /// Blocks of the top order whose frame records are in use: the blocks that were ever touched.
    var describedBlocks: UInt64 = 0
    /// Whole blocks that nobody ever touched and that the balloon driver does not hold.
    package var virginBlocks: UInt64 = 0
    /// No virgin block lies before this one.
    var virginCursor: UInt64 = 0
    /// How many entries the held stack has, and how many of them are virgin.
    package var heldBlocks: UInt64 = 0
    var heldVirginBlocks: UInt64 = 0
    /// How many entries the held stack had at most: that much of it is populated.
    var heldHighWater: UInt64 = 0
    /// Held blocks that the shrinker took back.
    package var shrunkBlocks: UInt64 = 0
    /// How many of them it took while the command was open, whether the device had read their hints or not.
    package var shrunkInRound: UInt64 = 0
}

extension Kernel {
    /// Gives the kernel in RAM another workload, before anything runs it. Its vCPUs and what they allocated stay.
    static func setWorkload(_ workload: Workload, in memory: KernelMemory) throws(KernelPanic) {
        let kernel = try Kernel(running: memory)
        var header: BootHeader = memory.load(at: 0)
        header.setWorkload(workload, freePages: min(kernel.freePages(kernel.allocator), UInt64(memory.layout.pageCount)))
        memory.store(header, at: 0)
    }
}

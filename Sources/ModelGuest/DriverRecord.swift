import AerostatGuestMemory
import AerostatMigration
import AerostatVirtio

/// What the balloon driver remembers about the device and about hints, in the boot header's page. The rings' own state lies beside the
/// rings.
package struct DriverRecord: BitwiseCopyable {
    package enum Phase: UInt32 {
        /// The driver has not looked for the device yet.
        case reset
        case live
        /// There is no device, it asked for a reset, or the driver gave it up.
        case gone
        /// The guest is suspended. The balloon is empty, and the device is reset and waits to be set up again as before.
        case suspended
        /// The driver was unloaded.
        case unbound
    }

    /// The stage of a hint round (Linux: `report_free_page_func`).
    enum Round: UInt32 {
        case idle
        /// The start buffer must be queued.
        case starting
        case reporting
        /// The stop buffer must be queued.
        case stopping
    }

    private var phaseWord: UInt32 = Phase.reset.rawValue
    private var roundWord: UInt32 = Round.idle.rawValue
    var ringSize: UInt32 = 0
    /// The word last read from configuration space, and the id of the current or last round.
    var seenID: UInt32 = 0
    var activeID: UInt32 = 0
    /// 1 while the device has the start buffer; 1 while a configuration interrupt has not been answered.
    var startIsOut: UInt32 = 0
    var mustReadID: UInt32 = 0
    /// The id of the round before. Some hostile drivers answer with it.
    var previousID: UInt32 = 0
    var features: UInt64 = 0
    package var rounds: UInt64 = 0
    package var reportedBlocks: UInt64 = 0

    init() {}

    /// An empty record that keeps the counters.
    init(keeping old: DriverRecord) {
        (rounds, reportedBlocks) = (old.rounds, old.reportedBlocks)
    }

    package var phase: Phase {
        get { Phase(rawValue: phaseWord) ?? .gone }
        set { phaseWord = newValue.rawValue }
    }

    var round: Round {
        get { Round(rawValue: roundWord) ?? .idle }
        set { roundWord = newValue.rawValue }
    }
}

extension Kernel {
    package var driverRecord: DriverRecord {
        get { memory.load(at: KernelLayout.driverOffset) }
        set { memory.store(newValue, at: KernelLayout.driverOffset) }
    }

    /// Whether a command that the driver has answered is still open: its blocks are being reported, or the device may be reading them.
    package var isInHintRound: Bool {
        let record = driverRecord
        return record.activeID == record.seenID && record.seenID >= CommandID.minimum.rawValue
    }

    /// The guest-physical address of a byte of RAM.
    func physicalAddress(_ offset: Int) -> GuestAddress {
        let page = memory.ram.regions.address(of: PageIndex(offset >> GuestPage.shift))
        return GuestAddress(page.rawValue + UInt64(offset & (GuestPage.size - 1)))
    }
}

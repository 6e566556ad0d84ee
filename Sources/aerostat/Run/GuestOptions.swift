public import ArgumentParser
import Control
public import GuestMemory
import Migration
public import ModelGuest

/// What the guest is made of: shared by `run` and `demo`.
struct GuestOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The guest's RAM, 16MiB to 16TiB in whole pages.", valueName: "size"), transform: Values.size)
    var memory: Int?

    @Option(help: ArgumentHelp("Share of RAM that is allocated and filled at start.", valueName: "share"), transform: Values.percentage)
    var used: Double = 0.10

    @Option(help: ArgumentHelp("Share of RAM that is filled at start and then freed.", valueName: "share"), transform: Values.percentage)
    var freed: Double = 0.50

    @Option(
        help: ArgumentHelp("Share of the freed memory that is left in blocks too small to be hinted.", valueName: "share"),
        transform: Values.percentage
    )
    var fragmentation: Double = 0

    @Option(help: "What the guest does: idle, steady, churn or hog.")
    var workload: WorkloadName = .idle

    @Option(help: ArgumentHelp("Bytes a second that steady and churn write.", valueName: "size"), transform: Values.size)
    var writeRate: Int = 100 << 20

    @Option(help: ArgumentHelp("Memory that steady rewrites round and round.", valueName: "size"), transform: Values.size)
    var workingSet: Int = Workload.defaultWorkingSet

    @Option(help: "Virtual CPUs, each a thread; 1 to 64.")
    var vcpus: Int = 1

    @Option(help: "Everything that looks random in the guest follows from this number.")
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("How dirty pages are tracked: pagemap-scan or software; the best that works where absent."))
    var tracker: TrackerKind?

    enum WorkloadName: String, ExpressibleByArgument, CaseIterable {
        case idle, steady, churn, hog
    }

    /// The guest's memory as asked for; `nil` where nothing was.
    func regions() throws -> RegionTable? {
        guard let memory else { return nil }
        do throws(RegionTableError) { return try RegionTable(contiguousBytes: UInt64(memory)) } catch {
            throw ValidationError("--memory: \(error)")
        }
    }

    /// - Parameter defaultMemory: taken where `--memory` is absent.
    func configuration(defaultMemory: UInt64, driver: DriverBehaviour = .correct) throws -> ModelGuestConfiguration {
        var configuration = ModelGuestConfiguration(memory: try regions() ?? RegionTable(contiguousBytes: defaultMemory))
        configuration.vcpus = vcpus
        configuration.seed = seed
        configuration.usedShare = used
        configuration.freedShare = freed
        configuration.fragmentationShare = fragmentation
        configuration.driver = driver
        configuration.workload =
            switch workload {
            case .idle: .idle
            case .steady: .steady(writeRate: writeRate, workingSet: workingSet)
            case .churn: .churn(rate: writeRate)
            case .hog: .hog
            }
        do throws(ModelGuestConfiguration.Invalid) { try configuration.validate() } catch { throw ValidationError("\(error)") }
        return configuration
    }
}

extension TrackerKind: ExpressibleByArgument {}
extension DriverBehaviour: ExpressibleByArgument {}

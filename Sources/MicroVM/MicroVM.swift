public import AerostatGuestMemory
import AerostatHost
public import AerostatMigration
import AerostatVirtio
import Synchronization

/// A machine under KVM: guest RAM, vCPUs on threads of their own, interrupt controllers and timers in the kernel, and devices: a serial
/// port, a power button, and virtio devices on virtio-mmio.
///
/// It begins paused. A guest may end on its own (power-off, reset, crash). The machine then stands and can be inspected, but cannot be
/// resumed or saved. A migration that is under way fails, and the destination is told.
public final class MicroVM: Guest {
    /// How a guest ended on its own.
    public enum Ending: Hashable, Sendable {
        case powerOff
        case reset
        /// The guest did not intend this. The reason is one line of text.
        case crash(reason: String)
    }

    /// Callbacks of the machine. They are called on its threads, under its locks, and must not call back.
    public struct Observer: Sendable {
        /// Takes a byte that the guest sent to its console.
        public var output: @Sendable (UInt8) -> Void
        /// The console can take more input.
        public var roomForInput: @Sendable () -> Void
        /// Called once, when the guest ends on its own.
        public var ended: @Sendable (Ending) -> Void

        public init(
            output: @escaping @Sendable (UInt8) -> Void = { _ in },
            roomForInput: @escaping @Sendable () -> Void = {},
            ended: @escaping @Sendable (Ending) -> Void = { _ in }
        ) {
            self.output = output
            self.roomForInput = roomForInput
            self.ended = ended
        }
    }

    public let memory: GuestRAM
    public let tracker: any DirtyTracker
    /// The device that asks the guest for hints; `nil` if the machine has none.
    public let hinting: (any FreePageHinting)?
    /// Every device, and where the guest reaches it.
    package let registry: DeviceRegistry
    private let serial: SerialPort
    private let power: PowerControl
    let machine: VirtualMachine
    private let threads: VCPUThreads
    let standing = Mutex(Standing())

    /// Whether the machine is paused, and what it holds.
    struct Standing {
        var isPaused = true
        var isShutDown = false
        /// Whether RAM and vCPUs hold a guest.
        var isLoaded = false
        /// The guest's clock while the guest is paused: the clock stops too.
        var clock: UInt64?
    }

    /// Makes a machine and loads the software into it.
    /// - Parameter tracker: forces a tracker; `nil` uses KVM's log.
    public convenience init(
        booting configuration: MicroVMConfiguration,
        tracker: TrackerKind? = nil,
        observer: Observer = Observer()
    ) throws(GuestError) {
        let memory = try Self.memory(try configuration.regions())
        try self.init(booting: configuration, in: memory, tracker: tracker, observer: observer)
    }

    /// The same in RAM that is there already: its regions are what counts, and what is absent of them is not mapped into the guest.
    package convenience init(
        booting configuration: MicroVMConfiguration,
        in memory: GuestRAM,
        tracker: TrackerKind? = nil,
        observer: Observer = Observer()
    ) throws(GuestError) {
        try self.init(
            memory,
            vcpus: configuration.vcpus,
            devices: configuration.devices,
            tracker: tracker,
            ringEntries: configuration.ringEntries,
            observer: observer
        )
        try boot(configuration)
    }

    /// Makes an empty machine, to be filled by an incoming migration or an image: first RAM, then `loadDeviceState`, then `resume`.
    /// - Parameters:
    ///   - memory: may belong to an image, whose pages are read when they are touched.
    ///   - requirements: what the guest needs, as the source said. Throws if this host lacks some of it.
    ///   - offering: the devices that can be made. The machine gets those that the guest has, at their places.
    public convenience init(
        shell memory: GuestRAM,
        requirements: [DeviceSection],
        offering: [DeviceMaker] = DeviceMaker.standard,
        tracker: TrackerKind? = nil,
        observer: Observer = Observer()
    ) throws(GuestError) {
        let needs = try MachineRequirements(requirements)
        try self.init(memory, vcpus: needs.vcpus, devices: try needs.makers(among: offering), tracker: tracker, observer: observer)
        try needs.check(against: machine)
        try registry.devices.check(requirements.filter { $0.name != MachineRequirements.sectionName })
        // Started now, so that a paused guest does not wait for it.
        do throws(SystemError) { try threads.start() } catch { throw GuestError("\(error)") }
    }

    /// Makes an empty machine with RAM of its own.
    public convenience init(
        shell regions: RegionTable,
        requirements: [DeviceSection],
        offering: [DeviceMaker] = DeviceMaker.standard,
        tracker: TrackerKind? = nil,
        observer: Observer = Observer()
    ) throws(GuestError) {
        let memory = try Self.memory(regions)
        try self.init(shell: memory, requirements: requirements, offering: offering, tracker: tracker, observer: observer)
    }

    /// A machine with one vCPU in the state after a reset, and nothing in it. For a rehearsal, which moves it and never runs it.
    package convenience init(idle regions: RegionTable, tracker: TrackerKind? = nil) throws(GuestError) {
        try self.init(try Self.memory(regions), vcpus: 1, devices: DeviceMaker.standard, tracker: tracker, observer: Observer())
        try reading("prepare an idle machine") { () throws(KVMError) in
            for vcpu in machine.vcpus { try vcpu.prepare(machine.cpuid(of: vcpu.index), savedMSRs: machine.traits.savedMSRs, nil) }
        }
        standing.withLock { $0.isLoaded = true }
    }

    private static func memory(_ regions: RegionTable) throws(GuestError) -> GuestRAM {
        do throws(SystemError) { return try GuestRAM(regions) } catch { throw GuestError("\(error)") }
    }

    private init(
        _ memory: GuestRAM,
        vcpus: Int,
        devices makers: [DeviceMaker],
        tracker kind: TrackerKind?,
        ringEntries: Int = KVMDirtyRingTracker.entries,
        observer: Observer
    ) throws(GuestError) {
        do {
            let kvm = try KVM()
            let machine = try VirtualMachine(kvm, memory, vcpus: vcpus, log: VirtualMachine.Log(for: kind, ringEntries: ringEntries))
            // The devices are made before the vCPUs' threads, but call them. So they hold a weak reference that is set later.
            let later = Later<VCPUThreads>()
            let serial = SerialPort(
                output: observer.output,
                interrupt: { machine.setLine(MachineLayout.serialInterrupt, $0) },
                roomForInput: observer.roomForInput
            )
            let power = PowerControl(
                request: { later.value?.guestEnded($0 == .powerOff ? .powerOff : .reset) },
                interrupt: { machine.setLine(MachineLayout.eventInterrupt, $0) }
            )
            var registry = DeviceRegistry()
            try registry.attach(
                serial,
                ports: serial.portHandlers,
                interrupt: MachineLayout.serialInterrupt,
                nodes: SerialPort.nodes
            )
            try registry.attach(power, ports: power.portHandlers, interrupt: MachineLayout.eventInterrupt, nodes: PowerControl.nodes)
            let made = try makers.map { maker in try registry.attach(maker, memory, machine) }
            registry.devices.park()
            let rings = try kind == .kvmDirtyRing ? DirtyRings(machine) : nil
            threads = VCPUThreads(machine.vcpus, registry.bus, serveFullRing: { rings?.serveFullRing() }, ended: observer.ended)
            later.value = threads
            switch kind {
            case nil, .kvmDirtyLog: tracker = try KVMDirtyLogTracker(machine)
            case .kvmDirtyRing: tracker = KVMDirtyRingTracker(machine, rings!) { later.value?.kickAll() }
            case .pagemapScan: tracker = try PagemapScanTracker(memory)
            case .software: throw GuestError("the tracker software does not see what a vCPU writes")
            }
            self.memory = memory
            self.machine = machine
            self.registry = registry
            self.serial = serial
            self.power = power
            hinting = made.lazy.compactMap { $0 as? any FreePageHinting }.first
        } catch {
            throw error as? GuestError ?? GuestError("\(error)")
        }
    }

    deinit { shutdown() }

    private func boot(_ configuration: MicroVMConfiguration) throws(GuestError) {
        do {
            let entry: BootEntry
            var startsAll = false
            switch configuration.software {
            case .tiny(let guest):
                entry = try guest.load(into: memory)
                startsAll = true
            case .linux(let kernel, let initrd, let commandLine):
                let linux = try LinuxBoot(kernelPath: kernel, initrdPath: initrd, commandLine: commandLine)
                entry = try linux.load(into: memory, vcpus: machine.vcpus.count, devices: registry.nodes)
            }
            for vcpu in machine.vcpus {
                let isFirst = vcpu.index == 0 || startsAll
                try vcpu.prepare(machine.cpuid(of: vcpu.index), savedMSRs: machine.traits.savedMSRs, isFirst ? entry : nil)
            }
            standing.withLock { $0.isLoaded = true }
        } catch {
            throw error as? GuestError ?? GuestError("\(error)")
        }
    }

    /// Why this host cannot run a machine; `nil` if it can.
    public static var unavailability: String? {
        do throws(KVMError) {
            _ = try KVM()
            return nil
        } catch {
            return error.description
        }
    }

    /// How many vCPUs the machine has.
    public var vcpuCount: Int { machine.vcpus.count }

    /// The guest-physical memory that KVM maps, by slot.
    package var memorySlots: [MemoryRegion] { machine.slots.map(\.region) }

    /// How the guest ended on its own; `nil` if it has not.
    public var ending: Ending? { threads.ending }

    /// Only the guest's kernel could tell, and nobody asks it.
    public func memoryUse() -> MemoryUse? { nil }

    // MARK: For people

    /// Offers input to the guest's console.
    /// - Returns: how many bytes had room. Offer the rest after `Observer.roomForInput`. 0 while the machine is paused, because its state
    ///   may have been saved already.
    public func receive(_ bytes: [UInt8]) -> Int { serial.receive(bytes) }

    public func pressPowerButton() { power.pressPowerButton() }

    // MARK: Running and standing still

    public var isRunning: Bool { standing.withLock { !$0.isPaused } && ending == nil }

    public func pause() throws(GuestError) {
        try standing.withLock { (standing) throws(GuestError) in
            guard !standing.isPaused else { return }
            standStill()
            standing.isPaused = true
            standing.clock = try reading("the clock") { () throws(KVMError) in try machine.clock() }
        }
    }

    public func resume() throws(GuestError) {
        try standing.withLock { (standing) throws(GuestError) in
            guard standing.isPaused else { return }
            guard standing.isLoaded else { throw GuestError("the machine has no guest to run yet") }
            guard !standing.isShutDown else { throw GuestError("the machine was shut down") }
            if let ending { throw GuestError("the guest has ended: \(ending)") }
            do throws(SystemError) { try threads.start() } catch { throw GuestError("\(error)") }
            try reading("the clock") { () throws(KVMError) in
                if let clock = standing.clock { try machine.setClock(clock) }
                // A guest that checks its clock's flags learns that it was stopped, and does not take the gap for a hang.
                for vcpu in machine.vcpus { vcpu.noteStop() }
            }
            standing.clock = nil
            registry.devices.unpark()
            threads.letGo()
            standing.isPaused = false
        }
    }

    /// Runs `body` while the guest is paused, then lets it continue as before. Nobody else pauses or resumes it meanwhile.
    package func whileStanding<Result>(_ body: () throws(GuestError) -> Result) throws(GuestError) -> Result {
        try standing.withLock { (standing) throws(GuestError) in
            guard !standing.isPaused else { return try body() }
            standStill()
            defer {
                registry.devices.unpark()
                threads.letGo()
            }
            return try body()
        }
    }

    /// Brings the vCPUs out of the guest, then parks the devices. When it returns, nobody writes guest RAM.
    private func standStill() {
        threads.standStill()
        registry.devices.park()
    }

    /// Ends and joins all threads of the machine. It cannot be resumed afterwards. Its RAM stays.
    public func shutdown() {
        standing.withLock { standing in
            guard !standing.isShutDown else { return }
            standStill()
            standing.isPaused = true
            standing.isShutDown = true
            threads.end()
        }
    }

    func reading<Result>(_ what: String, _ body: () throws(KVMError) -> Result) throws(GuestError) -> Result {
        do throws(KVMError) { return try body() } catch { throw GuestError("\(what): \(error)") }
    }
}

extension MicroVM.Ending: CustomStringConvertible {
    public var description: String {
        switch self {
        case .powerOff: "it powered off"
        case .reset: "it reset itself"
        case .crash(let reason): reason
        }
    }
}

/// A weak reference to an object that is made later.
private final class Later<Value: AnyObject & Sendable>: Sendable {
    private struct Reference: Sendable {
        weak var value: Value?
    }

    private let reference = Mutex(Reference())

    var value: Value? {
        get { reference.withLock { $0.value } }
        set { reference.withLock { $0.value = newValue } }
    }
}

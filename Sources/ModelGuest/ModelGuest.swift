public import AerostatBalloon
public import AerostatGuestMemory
public import AerostatHost
public import AerostatMigration
import AerostatVirtio
import Synchronization

/// A model guest: a small kernel, run by real threads on real guest RAM. The engine moves it as it would move a virtual machine.
///
/// It begins paused. All of its state lies in RAM, except three registers: the page of the boot header, the number of vCPUs and the
/// guest's clock.
public final class ModelGuest: Guest {
    public let memory: GuestRAM
    public let tracker: any DirtyTracker
    /// The guest's balloon, for the machine's owner.
    public let balloon: BalloonDevice
    let balloonTransport: VirtioMMIOTransport
    /// `nil` in a machine whose guest came from a process that has no such device.
    let entropy: EntropySource?
    /// All devices, the balloon among them.
    let devices: MachineDevices
    let interrupt: Doorbell
    let control = RunControl()
    let machine = Mutex(Machine())
    /// `nil` in a shell that does not have its RAM and registers yet. Not under the machine's lock, because a check holds that for long.
    let loaded = Mutex<Kernel?>(nil)

    /// Whether the guest is paused, and what runs it.
    struct Machine {
        var isPaused = true
        var hasEnded = false
        var threads: [HostThread] = []
    }

    /// Boots a guest. Fills its used and freed memory, on as many threads as it has vCPUs.
    /// - Parameters:
    ///   - tracker: forces a tracker; `nil` takes the best that works.
    ///   - balloon: what its balloon device offers.
    public convenience init(
        booting configuration: ModelGuestConfiguration,
        tracker: TrackerKind? = nil,
        balloon: BalloonOptions = BalloonOptions()
    ) throws {
        try configuration.validate()
        try self.init(shell: configuration.memory, tracker: tracker, balloon: balloon)
        try start(Kernel(booting: configuration, in: KernelMemory(memory)))
    }

    /// Takes a kernel that was made in this machine's RAM, and lets it probe its device.
    func start(_ kernel: Kernel) throws(KernelPanic) {
        try BalloonDriver(kernel: kernel, transport: balloonTransport).probe(now: control.clock.nanoseconds)
        entropy?.driver(kernel).probe()
        adopt(kernel)
    }

    /// From now on the kernel is the one that runs here.
    func adopt(_ kernel: Kernel) {
        kernel.attach(interrupt)
        loaded.withLock { $0 = kernel }
    }

    /// Makes an empty machine of a given shape, to be filled by an incoming migration: first RAM, then `loadDeviceState`, then `resume`.
    public convenience init(
        shell regions: RegionTable,
        tracker: TrackerKind? = nil,
        balloon: BalloonOptions = BalloonOptions()
    ) throws(SystemError) {
        try self.init(shell: GuestRAM(regions), tracker: tracker, balloon: balloon)
    }

    /// The same with given RAM, such as that of an image, whose pages are read when they are touched.
    /// - Parameters:
    ///   - requirements: what the guest's source said; they were checked. The machine gets the devices that the guest has. `nil` makes the
    ///     machine that is made here by default.
    ///   - tracker: forces a tracker; `nil` takes the best that works.
    ///   - balloon: what its balloon device offers.
    public init(
        shell memory: GuestRAM,
        requirements: [DeviceSection]? = nil,
        tracker: TrackerKind? = nil,
        balloon options: BalloonOptions = BalloonOptions()
    ) throws(SystemError) {
        self.memory = memory
        self.tracker = try makeTracker(tracker, for: memory)
        let interrupt = try Doorbell()
        self.interrupt = interrupt
        balloon = try BalloonDevice(memory, options: options) { level in if level { interrupt.ring() } }
        let slot = DeviceSlot(balloon, memory)
        balloonTransport = slot.transport!
        entropy = requirements.map(Self.hasEntropy) ?? true ? try EntropySource(memory) : nil
        devices = MachineDevices([slot] + (entropy.map { [$0.slot] } ?? []))
        devices.park()
    }

    deinit { shutdown() }

    public var hinting: (any FreePageHinting)? { balloon }

    /// How long the guest has run, by its own clock.
    package var clockNanoseconds: UInt64 { control.clock.nanoseconds }

    /// The kernel that runs here, for tests that inspect it.
    package var kernel: Kernel? { loaded.withLock { $0 } }

    /// Why the guest's kernel halted; `nil` if it has not.
    public var panic: String? { kernel?.panicked?.description }

    public func memoryUse() -> MemoryUse? {
        try? kernel?.memoryUse()
    }

    // MARK: Running and standing still

    public var isRunning: Bool { machine.withLock { !$0.isPaused } }

    public func pause() throws(GuestError) {
        machine.withLock { machine in
            guard !machine.isPaused else { return }
            standStill()
            machine.isPaused = true
        }
    }

    public func resume() throws(GuestError) {
        try machine.withLock { (machine) throws(GuestError) in
            guard machine.isPaused else { return }
            guard let kernel else { throw GuestError("the guest has no memory content to run yet") }
            guard !machine.hasEnded else { throw GuestError("the guest was shut down") }
            if machine.threads.isEmpty { try startThreads(kernel, &machine) }
            run()
            machine.isPaused = false
        }
    }

    /// Parks the threads, then the devices. When it returns, nobody writes guest RAM. Called under the machine's lock.
    func standStill() {
        control.requestStill()
        interrupt.ring()
        entropy?.interrupt.ring()
        control.waitUntilStill()
        devices.park()
    }

    func run() {
        devices.unpark()
        control.run()
        // What interrupted while the drivers stood still, and what is in their records: they look again.
        interrupt.ring()
        entropy?.interrupt.ring()
    }

    /// Ends and joins all threads of the guest. It cannot be resumed afterwards. Its RAM stays.
    public func shutdown() {
        machine.withLock { machine in
            guard !machine.hasEnded else { return }
            if !machine.isPaused { standStill() }
            machine.isPaused = true
            machine.hasEnded = true
            control.end()
            for thread in machine.threads { thread.join() }
            machine.threads = []
        }
    }

    // MARK: Threads

    private func startThreads(_ kernel: Kernel, _ machine: inout Machine) throws(GuestError) {
        do throws(SystemError) {
            for vcpu in 0..<kernel.parameters.vcpus {
                control.addThread()
                machine.threads.append(try HostThread(name: "vcpu \(vcpu)") { [control] in runVCPU(vcpu, kernel, control) })
            }
            control.addThread()
            let driver = BalloonDriver(kernel: kernel, transport: balloonTransport)
            machine.threads.append(
                try HostThread(name: "kworker") { [control, interrupt] in runWorker(driver, control, interrupt) }
            )
            if let entropy {
                control.addThread()
                machine.threads.append(try entropy.startThread(kernel, control))
            }
        } catch {
            // A guest with only some of its threads must not run. Threads that did start are waiting to run, and now end.
            control.end()
            machine.hasEnded = true
            throw GuestError("\(error)")
        }
    }
}

private func runVCPU(_ vcpu: Int, _ kernel: Kernel, _ control: RunControl) {
    guard control.start() else { return }
    repeat {
        if kernel.panicked != nil {
            control.sleep(until: nil)
        } else {
            do throws(KernelPanic) {
                let due = try kernel.step(vcpu, now: control.clock.nanoseconds)
                if due > control.clock.nanoseconds { control.sleep(until: control.clock.instant(of: due)) }
            } catch {
                kernel.halt(error)
            }
        }
    } while control.safePoint()
}

/// The kernel's worker: it serves the balloon device's interrupts.
private func runWorker(_ driver: BalloonDriver, _ control: RunControl, _ interrupt: Doorbell) {
    guard control.start() else { return }
    repeat {
        var next = BalloonDriver.Next.sleepUntilInterrupt
        if driver.kernel.panicked == nil {
            do throws(KernelPanic) { next = try driver.step(now: control.clock.nanoseconds) } catch { driver.kernel.halt(error) }
        }
        // Whoever wants this thread to stand rings the doorbell too.
        switch next {
        case .again: break
        case .sleep(until: .max): interrupt.wait()
        case .sleep(until: let time): interrupt.wait(timeout: MonotonicClock.now().duration(to: control.clock.instant(of: time)))
        }
    } while control.safePoint()
}

package import AerostatEntropy
import AerostatGuestMemory
import AerostatHost
import AerostatVirtio

/// The machine's source of random numbers: the device, where the guest reaches it, and the line of its interrupt.
struct EntropySource: Sendable {
    let device: EntropyDevice
    let slot: DeviceSlot
    let interrupt: Doorbell

    init(_ memory: GuestRAM) throws(SystemError) {
        let interrupt = try Doorbell()
        self.interrupt = interrupt
        device = try EntropyDevice(memory) { level in if level { interrupt.ring() } }
        slot = DeviceSlot(device, memory)
    }

    func driver(_ kernel: Kernel) -> EntropyDriver { EntropyDriver(kernel: kernel, transport: slot.transport!) }

    /// Starts the kernel's thread that has been counted in already.
    func startThread(_ kernel: Kernel, _ control: RunControl) throws(SystemError) -> HostThread {
        let driver = driver(kernel)
        return try HostThread(name: "hwrng") { [interrupt] in
            guard control.start() else { return }
            repeat {
                var due = UInt64.max
                if kernel.panicked == nil {
                    do throws(KernelPanic) { due = try driver.step(now: control.clock.nanoseconds) } catch { kernel.halt(error) }
                }
                // Whoever wants this thread to stand rings the doorbell too.
                let left = due == .max ? nil : MonotonicClock.now().duration(to: control.clock.instant(of: due))
                interrupt.wait(timeout: left)
            } while control.safePoint()
        }
    }
}

extension ModelGuest {
    /// The random number device, for tests that stop it alone.
    package var entropyDevice: EntropyDevice? { entropy?.device }
}

public import AerostatGuestMemory
import AerostatHost
import Synchronization

/// The registers of one virtio-mmio device, version 2, as a guest's driver sees them.
///
/// Every vCPU may access them at any time, with any values: reads of undefined offsets give 0, and writes to them are ignored.
///
/// Locks, in this order: the registers' (here), the device's own, the signals'. Reads of the interrupt status, kicks and accesses to
/// configuration space do not take the first one.
public final class VirtioMMIOTransport: Sendable {
    package let device: any VirtioDevice
    let memory: GuestRAM
    let registers: Mutex<Registers>

    /// What the driver has written.
    struct Registers: Sendable {
        var deviceFeaturesSelect: UInt32 = 0
        var driverFeaturesSelect: UInt32 = 0
        var driverFeatures = VirtioFeatures()
        var queueSelect: UInt32 = 0
        var status: UInt32 = 0
        /// As many as the device has at most.
        var queues: [QueueRegisters]
        /// Why the device was not activated.
        var fault: QueueFault?
    }

    struct QueueRegisters: Hashable, Sendable {
        var size: UInt32 = 0
        var isReady = false
        var descriptorTable: UInt64 = 0
        var driverArea: UInt64 = 0
        var deviceArea: UInt64 = 0
    }

    public init(_ device: any VirtioDevice, _ memory: GuestRAM) {
        self.device = device
        self.memory = memory
        let count = device.queueSizes(negotiated: device.offeredFeatures).count
        registers = Mutex(Registers(queues: Array(repeating: QueueRegisters(), count: count)))
    }

    /// Why the device refused the driver's queues at DRIVER_OK, until the next reset.
    public var fault: QueueFault? { registers.withLock { $0.fault } }

    // MARK: Reading

    /// The value that the guest reads.
    /// - Parameters:
    ///   - offset: from the device's first address.
    ///   - width: in bytes. Registers accept 4; configuration space accepts 1, 2, 4 and 8.
    public func read(offset: UInt64, width: Int) -> UInt64 {
        if let configuration = configurationOffset(offset, width) { return device.readConfiguration(offset: configuration, width: width) }
        guard width == 4, let register = VirtioMMIO.Register(rawValue: offset) else { return 0 }
        return UInt64(read(register))
    }

    /// The value that the driver reads from a register.
    public func read(_ register: VirtioMMIO.Register) -> UInt32 {
        switch register {
        case .magicValue: VirtioMMIO.magic
        case .version: VirtioMMIO.version
        case .deviceID: device.deviceID
        case .interruptStatus: device.signals.snapshot.pending
        case .configurationGeneration: device.signals.snapshot.generation
        case .sharedMemoryLengthLow, .sharedMemoryLengthHigh, .sharedMemoryBaseLow, .sharedMemoryBaseHigh: .max  // there is none
        case .deviceFeatures: registers.withLock { word(device.offeredFeatures, $0.deviceFeaturesSelect) }
        case .queueSizeMaximum: registers.withLock { UInt32(maximumSize($0)) }
        case .queueReady: registers.withLock { registers in selectedQueue(registers).map { registers.queues[$0].isReady ? 1 : 0 } ?? 0 }
        case .status: registers.withLock { $0.status | (device.signals.snapshot.needsReset ? VirtioMMIO.Status.needsReset : 0) }
        case .vendorID, .deviceFeaturesSelect, .driverFeatures, .driverFeaturesSelect, .queueSelect, .queueSize, .queueNotify,
            .interruptAcknowledge, .queueDescriptorLow, .queueDescriptorHigh, .queueDriverLow, .queueDriverHigh, .queueDeviceLow,
            .queueDeviceHigh, .sharedMemorySelect:
            0
        }
    }

    private func configurationOffset(_ offset: UInt64, _ width: Int) -> Int? {
        guard (VirtioMMIO.configurationOffset..<VirtioMMIO.byteCount).contains(offset), [1, 2, 4, 8].contains(width) else { return nil }
        return Int(offset - VirtioMMIO.configurationOffset)
    }

    func word(_ features: VirtioFeatures, _ select: UInt32) -> UInt32 {
        select < 2 ? UInt32(truncatingIfNeeded: features.rawValue >> (32 * UInt64(select))) : 0
    }

    /// The selected queue's index; `nil` if it does not exist with the features written so far.
    private func selectedQueue(_ registers: Registers) -> Int? { maximumSize(registers) > 0 ? Int(registers.queueSelect) : nil }

    private func maximumSize(_ registers: Registers) -> UInt16 {
        let sizes = device.queueSizes(negotiated: registers.driverFeatures)
        return registers.queueSelect < UInt32(min(sizes.count, registers.queues.count)) ? sizes[Int(registers.queueSelect)] : 0
    }

    // MARK: Writing

    /// Handles a write by the guest; see `read(offset:width:)`.
    public func write(offset: UInt64, width: Int, value: UInt64) {
        if let configuration = configurationOffset(offset, width) {
            return device.writeConfiguration(offset: configuration, width: width, value: value)
        }
        guard width == 4, let register = VirtioMMIO.Register(rawValue: offset) else { return }
        write(register, UInt32(truncatingIfNeeded: value))
    }

    /// Handles the driver's write to a register. No value traps.
    public func write(_ register: VirtioMMIO.Register, _ value: UInt32) {
        switch register {
        case .queueNotify: kick(value)
        case .interruptAcknowledge: device.signals.acknowledge(value)
        case .status: registers.withLock { writeStatus(&$0, value) }
        case .deviceFeaturesSelect: registers.withLock { $0.deviceFeaturesSelect = value }
        case .driverFeaturesSelect: registers.withLock { $0.driverFeaturesSelect = value }
        case .queueSelect: registers.withLock { $0.queueSelect = value }
        case .driverFeatures: registers.withLock { writeFeatures(&$0, value) }
        case .queueReady: registers.withLock { writeReady(&$0, value) }
        case .queueSize: withSelectedQueue { $0.size = value }
        case .queueDescriptorLow: withSelectedQueue { $0.descriptorTable.lowWord = value }
        case .queueDescriptorHigh: withSelectedQueue { $0.descriptorTable.highWord = value }
        case .queueDriverLow: withSelectedQueue { $0.driverArea.lowWord = value }
        case .queueDriverHigh: withSelectedQueue { $0.driverArea.highWord = value }
        case .queueDeviceLow: withSelectedQueue { $0.deviceArea.lowWord = value }
        case .queueDeviceHigh: withSelectedQueue { $0.deviceArea.highWord = value }
        case .magicValue, .version, .deviceID, .vendorID, .deviceFeatures, .queueSizeMaximum, .interruptStatus, .sharedMemorySelect,
            .sharedMemoryLengthLow, .sharedMemoryLengthHigh, .sharedMemoryBaseLow, .sharedMemoryBaseHigh, .configurationGeneration:
            break
        }
    }

    private func writeFeatures(_ registers: inout Registers, _ value: UInt32) {
        guard registers.status & VirtioMMIO.Status.featuresOK == 0, registers.driverFeaturesSelect < 2 else { return }
        let shift = 32 * UInt64(registers.driverFeaturesSelect)
        let kept = registers.driverFeatures.rawValue & ~(0xFFFF_FFFF << shift)
        registers.driverFeatures = VirtioFeatures(rawValue: kept | UInt64(value) << shift)
    }

    /// Changes the selected queue. While the queue is ready, or the device runs, nothing changes.
    private func withSelectedQueue(_ body: (inout QueueRegisters) -> Void) {
        registers.withLock { registers in
            guard registers.status & VirtioMMIO.Status.driverOK == 0, let index = selectedQueue(registers) else { return }
            guard !registers.queues[index].isReady else { return }
            body(&registers.queues[index])
        }
    }

    /// A driver may take a queue back while the device runs. It then reads this register until the device has released the queue (4.2.2.2).
    /// Only a reset can give the queue to the device again.
    private func writeReady(_ registers: inout Registers, _ value: UInt32) {
        guard let index = selectedQueue(registers) else { return }
        if registers.status & VirtioMMIO.Status.driverOK == 0 {
            registers.queues[index].isReady = value & 1 == 1
        } else if value == 0, registers.queues[index].isReady {
            device.stop(queue: index)
            registers.queues[index].isReady = false
        }
    }

    private func writeStatus(_ registers: inout Registers, _ value: UInt32) {
        typealias Status = VirtioMMIO.Status
        if value == 0 { return reset(&registers) }
        // A driver only ever adds bits. The bits that stand for its steps are accepted only in their order.
        registers.status |= value & (Status.acknowledge | Status.driver | Status.failed)
        let started = Status.acknowledge | Status.driver
        if value & Status.featuresOK != 0, registers.status & started == started, isAcceptable(registers.driverFeatures) {
            registers.status |= Status.featuresOK
        }
        let ready = registers.status & (Status.featuresOK | Status.driverOK) == Status.featuresOK
        if value & Status.driverOK != 0, ready {
            registers.status |= Status.driverOK
            start(&registers)
        }
    }

    /// Resets the device, as a driver does that begins anew.
    func reset() { registers.withLock { reset(&$0) } }

    private func reset(_ registers: inout Registers) {
        device.reset()
        device.signals.reset()
        registers = Registers(queues: Array(repeating: QueueRegisters(), count: registers.queues.count))
    }

    func isAcceptable(_ features: VirtioFeatures) -> Bool {
        features.contains(.version1) && device.offeredFeatures.isSuperset(of: features)
    }

    private func start(_ registers: inout Registers) {
        device.signals.goLive()
        do throws(QueueFault) {
            device.activate(registers.driverFeatures, queues: try makeQueues(registers, positions: []))
            // Chains from before DRIVER_OK may have been kicked before it too.
            ringDoorbells(of: registers)
        } catch {
            registers.fault = error
            device.signals.deviceNeedsReset()
        }
    }

    // MARK: Doorbells

    /// A kick for a queue that the device does not have rings nothing.
    private func kick(_ queue: UInt32) {
        let doorbells = device.doorbells
        if queue < doorbells.count { doorbells[Int(queue)].ring() }
    }

    /// Makes the device check every live queue.
    func ringLiveQueues() {
        registers.withLock { registers in
            if registers.status & VirtioMMIO.Status.driverOK != 0 { ringDoorbells(of: registers) }
        }
    }

    private func ringDoorbells(of registers: Registers) {
        var last: Doorbell?
        for (doorbell, queue) in zip(device.doorbells, registers.queues) where queue.isReady && doorbell !== last {
            doorbell.ring()
            last = doorbell
        }
    }

    /// The queues that the driver made ready.
    /// - Parameter positions: the position of each queue; a queue without one starts at the beginning.
    func makeQueues(_ registers: Registers, positions: [VirtqueuePosition?]) throws(QueueFault) -> [SplitVirtqueue?] {
        var queues: [SplitVirtqueue?] = []
        for (index, maximum) in device.queueSizes(negotiated: registers.driverFeatures).enumerated() {
            let written = registers.queues[index]
            guard written.isReady, maximum > 0 else {
                queues.append(nil)
                continue
            }
            do throws(VirtqueueError) {
                guard let size = UInt16(exactly: written.size) else { throw .size(written.size, maximum: maximum) }
                let layout = VirtqueueLayout(
                    size: size,
                    descriptorTable: GuestAddress(written.descriptorTable),
                    driverArea: GuestAddress(written.driverArea),
                    deviceArea: GuestAddress(written.deviceArea)
                )
                let position = (index < positions.count ? positions[index] : nil) ?? VirtqueuePosition()
                queues.append(
                    try SplitVirtqueue(memory, layout, features: registers.driverFeatures, maximumSize: maximum, position: position)
                )
            } catch {
                throw QueueFault(queue: index, error: error)
            }
        }
        return queues
    }
}

extension UInt64 {
    fileprivate var lowWord: UInt32 {
        get { UInt32(truncatingIfNeeded: self) }
        set { self = self & 0xFFFF_FFFF_0000_0000 | UInt64(newValue) }
    }

    fileprivate var highWord: UInt32 {
        get { UInt32(truncatingIfNeeded: self >> 32) }
        set { self = self & 0xFFFF_FFFF | UInt64(newValue) << 32 }
    }
}

import AerostatBalloon
import AerostatEntropy
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatVirtio
import TestSupport
import Testing

/// What every device must do, whatever it is for (`MachineDevice`, `VirtioDevice`, `DeviceSlot`).
@Suite struct DeviceContractTests {
    @Test(
        arguments: ContractSubject.all
    )
    func `A device says who it is, has a doorbell for each queue, and takes no feature that it does not offer`(subject: ContractSubject)
        throws
    {
        let bench = try ContractBench(subject)
        let device = bench.device
        #expect(!device.identity.name.isEmpty && device.identity.name.utf8.count <= DeviceSection.maximumNameBytes - "-mmio".utf8.count)
        #expect(device.doorbells.count == device.queueSizes(negotiated: device.offeredFeatures).count)
        bench.slot.park()
        #expect(bench.slot.saveState().map(\.name) == [device.identity.name + "-mmio", device.identity.name])
        for bit in UInt64(0)..<64 where !device.offeredFeatures.contains(VirtioFeatures(rawValue: 1 << bit)) {
            #expect(!bench.transport.negotiate([.version1, VirtioFeatures(rawValue: 1 << bit)]), "bit \(bit)")
        }
        #expect(bench.transport.negotiate(subject.features))
    }

    @Test(arguments: ContractSubject.all)
    func `A parked device writes no memory and moves no queue; let go, it serves what came meanwhile`(subject: ContractSubject) throws {
        let bench = try ContractBench(subject)
        try bench.start()
        try bench.send()
        #expect(try bench.settle() == 1)
        bench.slot.park()
        bench.slot.park()
        for _ in 0..<3 { try bench.send() }
        let (digests, positions) = (bench.digests, bench.device.queuePositions)
        ContractBench.wait()
        #expect(bench.digests == digests && bench.device.queuePositions == positions)
        #expect(try bench.usedIndex == 1)
        // The kicks are answered by now: nobody rings again but the slot.
        bench.slot.unpark()
        #expect(try bench.settle() == 3)
    }

    @Test(arguments: ContractSubject.all)
    func `State that is saved with requests waiting goes on at another device, which saves the same`(subject: ContractSubject) throws {
        let source = try ContractBench(subject)
        try source.start()
        for _ in 0..<5 { try source.send() }
        #expect(try source.settle() == 5)
        source.slot.park()
        for _ in 0..<2 { try source.send() }
        let saved = source.slot.saveState()
        #expect(source.slot.saveState() == saved, "saving changes nothing")

        let destination = try ContractBench(subject, memory: source.memory)
        destination.slot.park()
        let digests = source.digests
        try destination.slot.restoreState(saved)
        ContractBench.wait()
        #expect(destination.digests == digests, "restoring writes no memory")
        #expect(destination.slot.saveState().last == saved.last)
        #expect(destination.device.queuePositions == source.device.queuePositions)
        #expect(destination.driver.status == source.driver.status)
        destination.driver.rings = source.driver.rings
        destination.slot.unpark()
        #expect(try destination.settle() == 2)
        try destination.send()
        #expect(try destination.settle() == 1)
    }

    @Test(arguments: ContractSubject.all)
    func `State that is cut, prolonged, of another version or missing is refused, and changes nothing`(subject: ContractSubject) throws {
        let source = try ContractBench(subject)
        try source.start()
        try source.send()
        _ = try source.settle()
        source.slot.park()
        let saved = source.slot.saveState()
        // Its own state is another one: a driver is at work.
        let destination = try ContractBench(subject)
        try destination.start()
        destination.slot.park()
        let before = destination.slot.saveState()
        for (index, section) in saved.enumerated() {
            var wrong = section.bytes.indices.map { (Array(section.bytes[..<$0]), section.version) }
            wrong += [(section.bytes + [0], section.version), (section.bytes, section.version + 1), (section.bytes, 0)]
            for (bytes, version) in wrong {
                var sections = saved
                sections[index] = DeviceSection(name: section.name, version: version, bytes: bytes)
                #expect(throws: DeviceStateError.self) { try destination.slot.restoreState(sections) }
            }
            #expect(throws: DeviceStateError.missing(section: section.name)) {
                try destination.slot.restoreState(saved.filter { $0.name != section.name })
            }
        }
        #expect(destination.slot.saveState() == before)
        destination.slot.unpark()
        try destination.send()
        #expect(try destination.settle() == 1)
    }

    @Test(arguments: ContractSubject.all, [false, true])
    func `Behind a reset the device touches no queue, until a driver begins anew`(subject: ContractSubject, byDriver: Bool) throws {
        let bench = try ContractBench(subject)
        try bench.start()
        try bench.send()
        _ = try bench.settle()
        if byDriver { bench.transport.write(.status, 0) } else { bench.slot.reset() }
        #expect(bench.driver.status == 0)
        try bench.send()
        for doorbell in bench.device.doorbells { doorbell.ring() }
        let digests = bench.digests
        ContractBench.wait()
        #expect(bench.digests == digests)
        try bench.start()
        try bench.send()
        #expect(try bench.settle() == 1)
    }

    @Test(arguments: ContractSubject.all)
    func `A device that is reset while it is parked stays parked`(subject: ContractSubject) throws {
        let bench = try ContractBench(subject)
        bench.slot.park()
        bench.slot.reset()
        try bench.start()
        try bench.send()
        let digests = bench.digests
        ContractBench.wait()
        #expect(bench.digests == digests)
        bench.slot.unpark()
        #expect(try bench.settle() == 1)
    }

    @Test(arguments: ContractSubject.all)
    func `A queue that the driver takes back is not touched any more`(subject: ContractSubject) throws {
        let bench = try ContractBench(subject)
        try bench.start()
        try bench.send()
        _ = try bench.settle()
        bench.transport.write(.queueSelect, UInt32(subject.queue))
        bench.transport.write(.queueReady, 0)
        #expect(bench.transport.read(.queueReady) == 0)
        try bench.send()
        let digests = bench.digests
        ContractBench.wait()
        #expect(bench.digests == digests)
    }

    @Test(arguments: ContractSubject.all)
    func `A broken ring breaks the device, which says so and writes nothing, until the driver resets it`(subject: ContractSubject) throws {
        let bench = try ContractBench(subject)
        try bench.start()
        try bench.driver.rings[subject.queue].setAvailableIndex(1000)
        let digests = bench.digests
        bench.driver.kick(subject.queue)
        try bench.driver.line.wait(
            until: { bench.driver.status & VirtioMMIO.Status.needsReset != 0 },
            "the device says that it needs a reset"
        )
        bench.slot.park()
        let saved = bench.slot.saveState()
        bench.slot.unpark()
        #expect(bench.digests == digests)
        // It is broken where it arrives, too.
        let other = try ContractBench(subject, memory: bench.memory)
        other.slot.park()
        try other.slot.restoreState(saved)
        other.slot.unpark()
        #expect(other.driver.status & VirtioMMIO.Status.needsReset != 0)
        for bench in [bench, other] {
            try bench.start()
            try bench.send()
            #expect(try bench.settle() == 1)
        }
    }
}

/// The devices of one machine together.
@Suite struct MachineDevicesTests {
    private static func slots(_ memory: GuestRAM) throws -> [DeviceSlot] {
        [DeviceSlot(try BalloonDevice(memory) { _ in }, memory), DeviceSlot(try EntropyDevice(memory) { _ in }, memory)]
    }

    @Test func `State that one device refuses changes none of them, and the error names the device`() throws {
        let memory = try GuestRAM(regionTable(pages: 256))
        let source = MachineDevices(try Self.slots(memory))
        source.park()
        #expect(source.slots[0].transport!.negotiate(.version1))
        let saved = source.saveState()
        let devices = MachineDevices(try Self.slots(memory))
        devices.park()
        let before = devices.saveState()
        var damaged = saved
        damaged[3] = DeviceSection(name: damaged[3].name, version: 1, bytes: [1])
        let error = #expect(throws: GuestError.self) { try devices.decodeState(damaged).apply() }
        #expect("\(error!)".hasPrefix("virtio-rng: "))
        #expect(devices.saveState() == before)
        try devices.decodeState(saved).apply()
        #expect(devices.slots[0].transport!.read(.status) == 11)
    }

    @Test func `What a guest requires is what the devices name, and nothing else is offered`() throws {
        let memory = try GuestRAM(regionTable(pages: 256))
        let slots = try Self.slots(memory)
        let both = MachineDevices(slots)
        let balloon = MachineDevices([slots[0]])
        #expect(both.requirements == [DeviceSection(name: "virtio-rng", version: 1, bytes: [])])
        #expect(balloon.requirements == [], "what older processes do not know would keep the guest from them")
        try both.check(both.requirements)
        try both.check([])
        #expect(throws: GuestError.self) { try balloon.check(both.requirements) }
        #expect(throws: GuestError.self) { try both.check([DeviceSection(name: "virtio-rng", version: 2, bytes: [])]) }
    }

    @Test func `Two devices of one name are refused`() throws {
        let memory = try GuestRAM(regionTable(pages: 256))
        var devices = MachineDevices(try Self.slots(memory))
        #expect(throws: GuestError.self) { try devices.attach(DeviceSlot(try EntropyDevice(memory) { _ in }, memory)) }
        #expect(devices.slots.count == 2)
    }

    @Test(arguments: ContractSubject.all)
    func `A driver whose rings are unplugged must begin anew, and can`(subject: ContractSubject) throws {
        func region(_ first: Int, _ count: Int) -> MemoryRegion {
            MemoryRegion(base: GuestAddress(UInt64(first * GuestPage.size)), byteCount: UInt64(count * GuestPage.size))
        }
        let blocks = [region(0, 8), region(8, 56), region(64, 192)]
        let memory = try GuestRAM(regionTable(pages: 256), blocks: blocks.map { MemoryBlock($0, .anonymous) })
        let bench = try ContractBench(subject, memory: memory)
        try bench.start()
        try bench.send()
        #expect(try bench.settle() == 1)
        try memory.unplug(blocks[1])
        bench.driver.kick(subject.queue)
        try bench.driver.line.wait(until: { bench.driver.status & VirtioMMIO.Status.needsReset != 0 }, "the device needs a reset")
        bench.slot.park()
        #expect(!bench.slot.saveState().isEmpty)
        bench.slot.unpark()
        try memory.plug(MemoryBlock(blocks[1], .anonymous))
        try bench.start()
        #expect(bench.driver.status & VirtioMMIO.Status.needsReset == 0)
        try bench.send()
        #expect(try bench.settle() == 1)
    }
}

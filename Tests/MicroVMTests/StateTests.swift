import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import Synchronization
import TestSupport
import Testing

extension MachineTests {
    /// The state outside RAM.
    @Suite(.serialized) struct State {
        /// A second machine with the memory and state of another one.
        private func restored(_ machine: MicroVM, _ sections: [DeviceSection]) throws -> MicroVM {
            let memory = try GuestRAM(machine.memory.regions)
            for region in machine.memory.regions.regions {
                try memory.write(try machine.memory.read(at: region.base, byteCount: Int(region.byteCount)), at: region.base)
            }
            let other = try MicroVM(shell: memory, requirements: machine.requirements)
            try other.loadDeviceState(sections)
            return other
        }

        @Test(arguments: [1, 2, 64])
        func `The loaded state equals the saved state, except for time`(vcpus: Int) throws {
            let tiny = try TinyMachine(TinyGuest(pages: 2 * vcpus, vcpus: vcpus))
            if vcpus < 64 { try tiny.run() }
            try tiny.machine.pause()
            let saved = try tiny.machine.saveDeviceState()
            #expect(saved.count == vcpus + 9)
            let other = try restored(tiny.machine, saved)
            let again = try other.saveDeviceState()
            #expect(saved.map(\.name) == again.map(\.name))
            // The balloon says DONE again, which shows in its registers and the interrupt controllers. The timer's counts start again.
            for name in ["kvm-clock", "serial", "power", "virtio-balloon", "virtio-rng"] {
                #expect(saved[name] == again[name], "\(name)")
            }
            #expect(saved.redirections == again.redirections)
            for index in 0..<vcpus {
                let (before, after) = (saved.vcpu(index), again.vcpu(index))
                // The default memory type has the value that a firmware would set. KVM does not list this register.
                #expect(before.msrs[0x2FF] == 0x806 && after.msrs[0x2FF] == 0x806, "vCPU \(index)")
                #expect(before.msrOrder == after.msrOrder)
            }
            // Performance counters and Hyper-V are hidden from guests here, so the host's values are not part of the state.
            #expect(saved.vcpu(0).msrOrder.allSatisfy { ![0xC1, 0x186, 0x345, 0x480, 0x570, 0x4000_0000].contains($0) })
            for vcpu in 0..<vcpus {
                let (one, two) = (saved.vcpu(vcpu), again.vcpu(vcpu))
                for name in ["sregs", "regs", "xsave", "xcrs", "debugregs", "vcpu_events", "mp_state"] {
                    #expect(one.parts[name] == two.parts[name], "\(name) of vCPU \(vcpu)")
                }
                #expect(one.msrs.filter { $0.key != 0x10 } == two.msrs.filter { $0.key != 0x10 })
                // The time stamp counter is the last MSR, except for the deadline, which is relative to it.
                #expect(one.msrOrder.suffix(2) == [0x10, 0x6E0])
                #expect(two.timeStampCounter >= one.timeStampCounter)
            }
            // 64 vCPUs take long on few processors. There it is enough that the machine can be paused again.
            try other.resume()
            if vcpus < 64 { try tiny.guest.run(other, rounds: 2) }
            try other.pause()
            #expect(try tiny.guest.faults(in: other.memory) == [])
        }

        @Test(
            arguments: [nil, .kvmDirtyRing] as [TrackerKind?]
        )
        func `A rehearsal moves an idle machine, and its memory and state arrive`(tracker: TrackerKind?) throws {
            let machine = try MicroVM(idle: try RegionTable(contiguousBytes: 4 << 20), tracker: tracker)
            try machine.memory.fill(1, at: GuestAddress(4096), byteCount: 3 << 20)
            let arrived = Mutex<MicroVM?>(nil)
            try rehearseMigration(of: machine) { (regions, requirements) throws(GuestError) in
                let shell = try MicroVM(shell: regions, requirements: requirements, tracker: tracker)
                arrived.withLock { $0 = shell }
                return shell
            }
            let other = try #require(arrived.withLock { $0 })
            #expect(!machine.isRunning && !other.isRunning)
            for page in 0..<1024 { #expect(other.memory.digest(PageIndex(page)) == machine.memory.digest(PageIndex(page)), "page \(page)") }
            #expect(try machine.saveDeviceState().vcpu(0).msrOrder == other.saveDeviceState().vcpu(0).msrOrder)
        }

        @Test func `Time continues from where it stopped, and stops while the guest is paused`() throws {
            let tiny = try TinyMachine(TinyGuest(pages: 16, vcpus: 2))
            try tiny.run()
            try tiny.machine.pause()
            let saved = try tiny.machine.saveDeviceState()
            HostThread.sleep(for: .milliseconds(50))
            #expect(try tiny.machine.saveDeviceState().clock == saved.clock)
            let other = try restored(tiny.machine, saved)
            HostThread.sleep(for: .milliseconds(50))
            let start = MonotonicClock.now()
            try other.resume()
            try tiny.guest.run(other)
            try other.pause()
            let ran = start.duration(to: MonotonicClock.now())
            let later = try other.saveDeviceState()
            #expect(later.clock > saved.clock)
            #expect(later.clock - saved.clock <= UInt64(ran.inSeconds * 1e9))
            for vcpu in 0..<2 { #expect(later.vcpu(vcpu).timeStampCounter > saved.vcpu(vcpu).timeStampCounter) }
        }

        @Test(arguments: [1, 2])
        func `The balloon's interrupt reaches its vCPU's local APIC, and a pending one moves with the guest`(vcpus: Int) throws {
            let tiny = try TinyMachine(TinyGuest(pages: 16, vcpus: vcpus))
            func pending(_ sections: [DeviceSection]) -> [Int] {
                (0..<vcpus).filter { sections.vcpu($0).isPending(TinyGuest.vector) }
            }
            try eventually("the driver is not up") { try tiny.record.hasBalloon }
            try tiny.machine.pause()
            #expect(pending(try tiny.machine.saveDeviceState()) == [])
            try tiny.machine.resume()
            tiny.machine.hinting!.done()
            try eventually("the driver does not hear") { try tiny.record.seenID == 1 }
            // The kernel raises the interrupt on a thread of its own.
            try eventually("the interrupt does not come") {
                try tiny.machine.pause()
                defer { try? tiny.machine.resume() }
                return pending(try tiny.machine.saveDeviceState()).count == 1
            }
            try tiny.machine.pause()
            let saved = try tiny.machine.saveDeviceState()
            #expect(pending(try restored(tiny.machine, saved).saveDeviceState()) == pending(saved))
        }

        @Test func `Sections that are too short, too long, of another version, or missing are refused`() throws {
            let tiny = try TinyMachine(TinyGuest(pages: 16))
            try tiny.run()
            try tiny.machine.pause()
            let saved = try tiny.machine.saveDeviceState()
            let shell = try MicroVM(shell: tiny.machine.memory.regions, requirements: tiny.machine.requirements)
            for (index, section) in saved.enumerated() {
                var changed: [DeviceSection?] = [nil, section.with(version: section.version + 1), section.with(bytes: section.bytes + [0])]
                let count = section.bytes.count
                for length in Set([0, 1, count / 3, count / 2, max(count - 1, 0)]) where length < count {
                    changed.append(section.with(bytes: Array(section.bytes.prefix(length))))
                }
                for change in changed {
                    var sections = saved
                    sections.remove(at: index)
                    if let change { sections.insert(change, at: index) }
                    #expect(throws: GuestError.self, "\(section.name) as \(change?.bytes.count ?? -1) bytes") {
                        try shell.loadDeviceState(sections)
                    }
                }
            }
            // After all these refusals the machine still has no guest, and still accepts valid state.
            #expect(throws: GuestError.self) { try shell.resume() }
            try shell.loadDeviceState(saved)
            #expect(throws: GuestError.self) { try shell.loadDeviceState(saved) }
        }

        @Test(arguments: 0..<40 as Range<UInt64>)
        func `State with random bytes is refused, or the machine runs and can be paused`(seed: UInt64) throws {
            var random = SeededGenerator(seed: seed)
            let tiny = try TinyMachine(TinyGuest(pages: 16))
            try tiny.run()
            try tiny.machine.pause()
            var sections = try tiny.machine.saveDeviceState()
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<sections.count, using: &random)
                var bytes = sections[index].bytes
                if bytes.isEmpty { continue }
                for _ in 0..<Int.random(in: 1...16, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
                }
                sections[index] = sections[index].with(bytes: bytes)
            }
            guard let other = try? restored(tiny.machine, sections) else { return }
            try other.resume()
            HostThread.sleep(for: .milliseconds(5))
            try other.pause()
            #expect(!other.isRunning)
        }
    }
}

extension DeviceSection {
    func with(version: UInt32? = nil, bytes: [UInt8]? = nil) -> DeviceSection {
        DeviceSection(name: name, version: version ?? self.version, bytes: bytes ?? self.bytes)
    }
}

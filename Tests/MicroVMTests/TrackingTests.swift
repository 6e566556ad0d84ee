import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import TestSupport
import Testing

extension MachineTests {
    /// The writes of vCPUs and of this process are harvested, and no write is lost between a running guest and a copier.
    @Suite(.serialized) struct Tracking {
        private static let pattern = 512

        @Test(arguments: kvmTrackers)
        func `The pattern's pages are harvested again and again, and so are pages that devices write`(kind: TrackerKind) throws {
            let tiny = try TinyMachine(TinyGuest(pages: 64, drivesBalloon: false), tracker: kind)
            let machine = tiny.machine
            #expect(machine.tracker.name == kind.rawValue)
            try tiny.run()
            try machine.tracker.arm()
            let written = Set(Self.pattern..<Self.pattern + 64)
            for round in 0..<3 {
                try tiny.run(rounds: 2)
                #expect(try harvest(machine).isSuperset(of: written), "round \(round)")
            }
            try machine.pause()
            _ = try harvest(machine)
            #expect(try harvest(machine) == [], "found twice")
            // This process writes to a page that no vCPU touches.
            try machine.memory.store(UInt32(7), at: GuestAddress(UInt64(machine.memory.pageCount - 1) * 4096))
            #expect(try harvest(machine) == [machine.memory.pageCount - 1])
            machine.tracker.disarm()
        }

        @Test(arguments: kvmTrackers, [1, 2])
        func `The first write to each page after arming is harvested`(kind: TrackerKind, vcpus: Int) throws {
            let tiny = try TinyMachine(TinyGuest(pages: 64, vcpus: vcpus, drivesBalloon: false), tracker: kind)
            for _ in 0..<5 {
                try tiny.run()
                try tiny.machine.pause()
                try tiny.machine.tracker.arm()
                #expect(try harvest(tiny.machine) == [], "what was written before arming is forgotten")
                // All pages are mapped and were written before, so only the protection of the arming can reveal a write.
                let before = digests(tiny.machine)
                try tiny.machine.resume()
                try tiny.run()
                try tiny.machine.pause()
                let dirty = try harvest(tiny.machine)
                let after = digests(tiny.machine)
                let lost = after.indices.filter { before[$0] != after[$0] && !dirty.contains($0) }
                #expect(lost == [], "written and not harvested")
                tiny.machine.tracker.disarm()
                try tiny.machine.resume()
            }
        }

        @Test(arguments: kvmTrackers, [1, 2])
        func `No write is lost between a running guest and a copier`(kind: TrackerKind, vcpus: Int) throws {
            let tiny = try TinyMachine(TinyGuest(pages: 96, vcpus: vcpus, drivesBalloon: false), tracker: kind)
            let machine = tiny.machine
            try tiny.run()
            try machine.tracker.arm()
            let copy = try GuestRAM(machine.memory.regions)
            let dirty = try PageSet(pageCount: copy.pageCount)
            try machine.memory.insertPresentPages(into: dirty)
            for _ in 0..<20 {
                for _ in 0..<5 {
                    try copyPages(of: dirty, machine.memory, copy)
                    try machine.tracker.harvest(into: dirty)
                }
                try machine.pause()
                try machine.tracker.harvest(into: dirty)
                try copyPages(of: dirty, machine.memory, copy)
                #expect(try tiny.guest.faults(in: copy) == [])
                #expect((0..<copy.pageCount).filter { copy.digest(PageIndex($0)) != machine.memory.digest(PageIndex($0)) } == [])
                try machine.resume()
            }
            machine.tracker.disarm()
        }

        @Test func `A vCPU empties its ring when it is full, and no write is lost`() throws {
            let guest = TinyGuest(pages: 2048, drivesBalloon: false)
            var configuration = MicroVMConfiguration(guest)
            configuration.ringEntries = 1024
            let machine = try MicroVM(booting: configuration, tracker: .kvmDirtyRing)
            try machine.tracker.arm()
            try machine.resume()
            try guest.run(machine, rounds: 2)
            try machine.pause()
            #expect(try harvest(machine).isSuperset(of: Self.pattern..<Self.pattern + 2048))
            #expect(try guest.faults(in: machine.memory) == [])
        }

        /// The pattern is 64 pages at 2 MiB: 21 in one block, 11 in one that lies elsewhere, and the rest in no memory at all.
        @Test(arguments: kvmTrackers)
        func `Absent memory is not mapped, a guest that touches it goes on, and blocks are tracked one by one`(kind: TrackerKind) throws {
            let elsewhere = try GuestRAM(regionTable(pages: 16))
            let adopted = unsafe AdoptedMemory(
                privateAnonymousAt: elsewhere.hostAddress(of: PageRun(first: PageIndex(0), count: 16)),
                owner: elsewhere
            )
            func region(_ pages: Range<Int>) -> MemoryRegion {
                MemoryRegion(base: GuestAddress(UInt64(pages.lowerBound * 4096)), byteCount: UInt64(pages.count * 4096))
            }
            let (first, second) = (Self.pattern + 21, Self.pattern + 32)
            let memory = try GuestRAM(
                RegionTable(contiguousBytes: 8 << 20),
                blocks: [MemoryBlock(region(0..<first), .anonymous), MemoryBlock(region(first..<second), .adopted(adopted))]
            )
            let guest = TinyGuest(pages: 64, drivesBalloon: false, freeBlocks: 0, reusedBlocks: 0)
            let machine = try MicroVM(booting: MicroVMConfiguration(guest), in: memory, tracker: kind)
            #expect(machine.memorySlots == [region(0..<first), region(first..<second)])
            try machine.tracker.arm()
            try machine.resume()
            try guest.run(machine, rounds: 2)
            #expect(try harvest(machine).intersection(Self.pattern..<2048) == Set(Self.pattern..<second))
            try guest.run(machine, rounds: 2)
            try machine.pause()
            #expect(machine.ending == nil)
            #expect(try harvest(machine).intersection(Self.pattern..<2048) == Set(Self.pattern..<second))
            machine.tracker.disarm()
            for page in 0..<32 {
                let number: UInt64 = try memory.load(at: GuestAddress(UInt64(Self.pattern + page) * 4096))
                #expect(number == UInt64(page))
            }
        }

        @Test func `A tracker that cannot see vCPU writes is refused, and so are KVM's trackers for a guest without KVM`() throws {
            #expect(throws: GuestError.self) { try TinyMachine(TinyGuest(), tracker: .software) }
            let memory = try GuestRAM(regionTable(pages: 16))
            for kind in [TrackerKind.kvmDirtyLog, .kvmDirtyRing] {
                #expect(throws: SystemError.self) { _ = try makeTracker(kind, for: memory) }
            }
        }

        private func digests(_ machine: MicroVM) -> [UInt64] { (0..<machine.memory.pageCount).map { machine.memory.digest(PageIndex($0)) } }

        private func copyPages(of dirty: PageSet, _ source: GuestRAM, _ target: GuestRAM) throws {
            var pages: [Int] = []
            dirty.forEachRun { pages += Array($0.indices) }
            dirty.removeAll()
            for page in pages {
                let address = source.regions.address(of: PageIndex(page))
                try target.write(try source.read(at: address, byteCount: GuestPage.size), at: address)
            }
        }
    }
}

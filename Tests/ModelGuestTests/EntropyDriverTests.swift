import AerostatEntropy
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatModelGuest
import TestSupport
import Testing

extension ModelGuestTests {
    /// virtio-rng and its driver in the model guest.
    @Suite struct EntropyDriverTests {
        private static let bufferPage = KernelLayout.entropyBufferOffset >> 12

        private func record(_ guest: ModelGuest) -> EntropyRecord { guest.kernel!.entropyRecord }

        /// A second machine with the memory and state of another one.
        private func arrived(_ source: ModelGuest, requirements: [DeviceSection], _ sections: [DeviceSection]) throws -> ModelGuest {
            let memory = try GuestRAM(source.memory.regions)
            let present = try PageSet(pageCount: memory.pageCount)
            try source.memory.insertPresentPages(into: present)
            present.forEachRun { run in
                for page in run.indices {
                    unsafe memory.withWritablePages(PageRun(first: PageIndex(page), count: 1)) { target in
                        let bytes = unsafe source.memory.hostAddress(of: PageRun(first: PageIndex(page), count: 1))
                        unsafe target.copyMemory(from: UnsafeRawBufferPointer(start: bytes, count: GuestPage.size))
                    }
                }
            }
            try ModelGuest.check(requirements: requirements)
            let guest = try ModelGuest(shell: memory, requirements: requirements, tracker: .software)
            try guest.loadDeviceState(sections)
            return guest
        }

        @Test func `The driver's buffer lies in a page that every guest's kernel has`() throws {
            let end = KernelLayout.entropyBufferOffset + KernelLayout.entropyBufferBytes
            #expect(Self.bufferPage == (end - 1) >> 12)
            for bytes in [16 << 20, 1 << 40] as [UInt64] {
                let layout = KernelMemory(try GuestRAM(RegionTable(contiguousBytes: bytes))).layout
                // The first table that follows the fixed pages is behind it, so nobody else has it.
                #expect(Self.bufferPage < layout.firstFrame && layout.recordOffset(of: 0) >= end)
            }
        }

        @Test func `A guest is seeded when it begins to run, and again and again`() async throws {
            let guest = try ModelGuest(booting: try configuration(16), tracker: .software)
            #expect(record(guest).phase == .live && record(guest).answers == 0)
            try guest.resume()
            var pools: Set<UInt64> = []
            for count in 1...3 as ClosedRange<UInt64> {
                try await eventually("no answer \(count)") { record(guest).answers >= count }
                pools.insert(record(guest).pool)
            }
            #expect(pools.count == 3 && !pools.contains(0))
            try guest.pause()
            let last = record(guest)
            #expect(last.bytes == last.answers * UInt64(KernelLayout.entropyBufferBytes))
            #expect(try guest.check().isClean)
        }

        @Test func `A request that waits when the guest moves is answered where it arrives, and the next ones too`() async throws {
            var guest = try ModelGuest(booting: try configuration(16) { $0.workload = .churn(rate: 100 << 20) }, tracker: .software)
            for trip in 0..<3 {
                try guest.resume()
                let before = record(guest).answers
                try await eventually("no answer on trip \(trip)") { record(guest).answers > before }
                // The device alone stands; the guest goes on and asks.
                guest.entropyDevice!.park()
                try await eventually("no request on trip \(trip)") { record(guest).requests > record(guest).answers }
                try guest.pause()
                let left = record(guest)
                #expect(left.requests == left.answers + 1)
                let next = try arrived(guest, requirements: guest.requirements, guest.saveDeviceState())
                guest.shutdown()
                let result = try next.check()
                #expect(result.isClean, "\(result)")
                try next.resume()
                try await eventually("no answer at the destination of trip \(trip)") { record(next).answers == left.requests }
                #expect(record(next).pool != left.pool)
                guest = next
            }
            try guest.pause()
            #expect(try guest.check().isClean)
        }

        @Test func `A guest of a process without the device goes on without it; one with it says so`() async throws {
            let source = try ModelGuest(booting: try configuration(16), tracker: .software)
            #expect(source.requirements.map(\.name) == ["model-guest", "virtio-rng"])
            let older = source.requirements.filter { $0.name == "model-guest" }
            let sections = try source.saveDeviceState().filter { !$0.name.hasPrefix("virtio-rng") }
            // A machine with the device needs its state.
            #expect(throws: GuestError.self) { try arrived(source, requirements: source.requirements, sections) }
            let guest = try arrived(source, requirements: older, sections)
            #expect(guest.entropyDevice == nil && guest.requirements == older)
            try guest.resume()
            let steps = guest.kernel!.loadVCPU(0).steps
            try await eventually("it does not run") { guest.kernel!.loadVCPU(0).steps > steps }
            try guest.pause()
            #expect(record(guest).answers == 0)
            #expect(try guest.check().isClean)

            let unknown = DeviceSection(name: "virtio-rng", version: 2, bytes: [])
            let error = #expect(throws: GuestError.self) { try ModelGuest.check(requirements: older + [unknown]) }
            #expect(error?.description.contains("virtio-rng") == true, "\(String(describing: error))")
            #expect(throws: GuestError.self) { try ModelGuest.check(requirements: [EntropyDevice.requirement]) }
        }

        @Test(arguments: [0, 1])
        func `The check finds a lost page of the buffer, and a lost write of the ring`(what: Int) async throws {
            let guest = try ModelGuest(booting: try configuration(16), tracker: .software)
            let empty = try guest.memory.read(at: GuestAddress(0), byteCount: GuestPage.size)
            try guest.resume()
            try await eventually("no answer") { record(guest).answers >= 1 }
            try guest.pause()
            #expect(try guest.check().isClean)
            if what == 0 {
                try guest.memory.fill(0, at: GuestAddress(UInt64(Self.bufferPage) << 12), byteCount: GuestPage.size)
            } else {
                // The ring as it was when the driver had set it up; the record stays.
                let ring = 0xA40..<0xAC0
                try guest.memory.write(Array(empty[ring]), at: GuestAddress(UInt64(ring.lowerBound)))
            }
            guard case .violated(let faults) = try guest.check().invariants else {
                Issue.record("the check finds nothing")
                return
            }
            #expect(faults.count == 1 && faults[0].contains("random number"), "\(faults)")
        }

        @Test func `An imported guest has the driver too, and its pages stay as they came`() async throws {
            let machine = SyntheticMachine(blocks: 5, seed: 3)
            let guest = try ImportedGuest(machine.dump(in: Folder()), tracker: .software).guest
            try guest.resume()
            try await eventually("no answer") { record(guest).answers >= 2 }
            try guest.pause()
            let result = try guest.check()
            #expect(result.isClean && result.pagesChecked == machine.used.count, "\(result)")
        }
    }
}

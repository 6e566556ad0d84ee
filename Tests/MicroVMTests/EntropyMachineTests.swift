import AerostatEntropy
import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import Foundation
import Synchronization
import TestSupport
import Testing

extension MachineTests {
    /// The second virtio device: virtio-rng, and what a machine with it or without it is to others.
    @Suite(.serialized) struct Entropy {
        private static let ask = UInt8(ascii: "e")
        private static let (asked, refused) = (UInt8(ascii: "1"), UInt8(ascii: "0"))

        /// The real device with a source that can run dry, and that gives the same words again and again.
        private final class Well: Sendable {
            static let word: UInt64 = 0x0807_0605_0403_0201
            let isDry = Atomic<Bool>(false)

            var maker: DeviceMaker {
                DeviceMaker(name: "virtio-rng") { (memory, interrupt) throws(SystemError) in
                    let source: @Sendable (Int) -> [UInt8]? = { count in
                        self.isDry.load(ordering: .relaxed) ? nil : (0..<count).map { UInt8($0 % 8 + 1) }
                    }
                    return try EntropyDevice(memory, source: source, hasThread: true, interrupt: interrupt)
                }
            }
        }

        private func machine(_ guest: TinyGuest, _ devices: [DeviceMaker], tracker: TrackerKind? = nil) throws -> (
            MicroVM, TinyMachine.Heard
        ) {
            var configuration = MicroVMConfiguration(guest)
            configuration.devices = devices
            let heard = TinyMachine.Heard()
            let machine = try MicroVM(booting: configuration, tracker: tracker, observer: heard.observer)
            try machine.resume()
            return (machine, heard)
        }

        @Test(arguments: kvmTrackers)
        func `A guest that waits for random numbers moves, gets them there, and asks again`(tracker: TrackerKind) throws {
            let (guest, well) = (TinyGuest(pages: 64, seed: 17), Well())
            let (machine, heard) = try machine(guest, [.balloon, well.maker], tracker: tracker)
            func answers(_ machine: MicroVM) throws -> UInt32 { try guest.record(in: machine.memory).entropyAnswers }
            #expect(machine.receive([Self.ask]) == 1 && heard.nextByte() == Self.asked)
            try eventually("no answer at the source") { try answers(machine) == 1 }
            #expect(try guest.record(in: machine.memory).entropyMixed == Well.word)
            well.isDry.store(true, ordering: .relaxed)
            #expect(machine.receive([Self.ask]) == 1 && heard.nextByte() == Self.asked)
            #expect(machine.receive([Self.ask]) == 1 && heard.nextByte() == Self.refused, "the buffer is with the device")

            let pair = try MachinePair(moving: machine, guest, tracker: tracker)
            #expect(try pair.run() == .completed)
            #expect(pair.migration.report.verify?.status == .passed)
            let there = try #require(pair.destination)
            #expect(there.registry.virtioNames == ["virtio-balloon", "virtio-rng"])
            try eventually("no answer at the destination") { try answers(there) == 2 }
            // The host's own random bytes: that they undo the source's, or each other, is one case in 2^64.
            let mixed = try guest.record(in: there.memory).entropyMixed
            #expect(mixed != Well.word)
            #expect(there.receive([Self.ask]) == 1)
            try eventually("no answer to the next request") { try answers(there) == 3 }
            #expect(try guest.record(in: there.memory).entropyMixed != mixed)
            try there.pause()
            #expect(try guest.faults(in: there.memory) == [] && guest.faults(in: machine.memory) == [])
            #expect(try answers(machine) == 1)
        }

        @Test func `A destination that cannot have the device refuses by its name, and the guest runs on`() throws {
            let pair = try MachinePair(TinyGuest(pages: 64), tracker: nil)
            try pair.source.run()
            guard case .failed(let failure) = try pair.run(offering: [.balloon]) else {
                Issue.record("\(pair.migration.report)")
                return
            }
            #expect("\(failure)".contains("the guest has the device virtio-rng, which this process does not offer"), "\(failure)")
            #expect(pair.destination == nil && pair.source.machine.isRunning && pair.migration.report.ram.normal == 0)
            try pair.source.run()
        }

        @Test func `A machine without the device says so as older ones do, and moves and starts from an image without it`() throws {
            let guest = TinyGuest(pages: 64)
            let (machine, heard) = try machine(guest, [.balloon])
            #expect(machine.requirements.map(\.name) == [MicroVM.kind] && machine.requirements[0].version == 1)
            #expect(machine.receive([Self.ask]) == 1 && heard.nextByte() == Self.refused)
            let pair = try MachinePair(moving: machine, guest, tracker: nil)
            #expect(try pair.run() == .completed)
            let there = try #require(pair.destination)
            #expect(there.registry.virtioNames == ["virtio-balloon"])
            #expect(there.requirements.map(\.name) == [MicroVM.kind] && there.requirements[0].version == 1)

            let path = FileManager.default.temporaryDirectory.appending(path: "aerostat-entropy-\(UUID().uuidString)").path
            defer { try? FileManager.default.removeItem(atPath: path) }
            let migration = try makeMigration(of: there, MigrationParameters())
            try migration.start(to: .file(path: path))
            #expect(migration.wait() == .completed)
            let image = try GuestImage(opening: path)
            let restored = try MicroVM(shell: try image.lazyMemory(), requirements: image.requirements)
            try restored.loadDeviceState(image.deviceSections)
            #expect(restored.registry.virtioNames == ["virtio-balloon"])
            try restored.resume()
            try guest.run(restored)
            try restored.pause()
            #expect(try guest.faults(in: restored.memory) == [])
        }

        /// The end of the section "kvm-machine", version 2.
        private func names(_ names: [String], count: Int? = nil) -> [UInt8] {
            var bytes = FieldBytes()
            bytes.append(UInt32(count ?? names.count))
            for name in names { bytes.appendCounted(name) }
            return bytes.bytes
        }

        @Test func `Requirements name the devices by their places; what cannot be a machine's is refused`() throws {
            let regions = try RegionTable(contiguousBytes: 4 << 20)
            let idle = try MicroVM(idle: regions)
            let section = idle.requirements[MicroVM.kind]
            let known = names(["virtio-balloon", "virtio-rng"])
            #expect(section.version == 2 && Array(section.bytes.suffix(known.count)) == known)
            let rest = Array(section.bytes.dropLast(known.count))
            func shell(_ tail: [UInt8], version: UInt32 = 2) throws -> [String] {
                let changed = section.with(version: version, bytes: rest + tail)
                return try MicroVM(shell: regions, requirements: [changed]).registry.virtioNames
            }
            for devices in [["virtio-balloon", "virtio-rng"], ["virtio-rng", "virtio-balloon"], ["virtio-rng"], []] {
                #expect(try shell(names(devices)) == devices)
            }
            // Version 1 says it without a list.
            #expect(try shell([], version: 1) == ["virtio-balloon"])
            let wrong: [(tail: [UInt8], words: String)] = [
                (names(["virtio-balloon", "virtio-blk"]), "virtio-blk"),
                (names(["virtio-rng", "virtio-rng"]), "virtio-rng already"),
                (names([], count: 19), "device count: 19"),
                (names(["virtio-balloon"]) + [0], "1 byte"),
                (names([String(repeating: "x", count: 65)]), "65"),
            ]
            for (tail, words) in wrong {
                let error = #expect(throws: GuestError.self) { try shell(tail) }
                #expect(error?.description.contains(words) == true, "\(String(describing: error))")
            }
            for count in 0..<known.count { #expect(throws: GuestError.self, "\(count) bytes") { try shell(Array(known.prefix(count))) } }
            #expect(throws: GuestError.self) { try shell(known, version: 1) }
            #expect(throws: GuestError.self) { try shell(known, version: 3) }
        }
    }
}

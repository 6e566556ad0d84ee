import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import Foundation
import TestSupport
import Testing

extension MachineTests {
    /// Migrations to an image, and starts from it.
    @Suite(.serialized) struct Images {
        @Test(arguments: kvmTrackers)
        func `A guest continues from its image, reads each page when it touches it, and migrates again`(tracker: TrackerKind) throws {
            let folder = FileManager.default.temporaryDirectory.appending(path: "aerostat-machine-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let path = folder.appending(path: "image").path

            let guest = TinyGuest(pages: 256, seed: 5, vcpus: 2, reusedBlocks: 3)
            let tiny = try TinyMachine(guest, tracker: tracker)
            try tiny.run(rounds: 2)
            try eventually("the driver is not up") { tiny.machine.hinting!.isAvailable }
            let migration = try makeMigration(of: tiny.machine, MigrationParameters())
            try migration.start(to: .file(path: path))
            #expect(migration.wait() == .completed)
            let left = try tiny.record.progress

            let image = try GuestImage(opening: path)
            let restored = try MicroVM(shell: try image.lazyMemory(), requirements: image.requirements, tracker: tracker)
            try restored.loadDeviceState(image.deviceSections)
            try restored.resume()
            try guest.run(restored, rounds: 2)
            #expect(zip(left, try guest.record(in: restored.memory).progress).allSatisfy { $0 < $1 })
            try restored.pause()
            #expect(try guest.faults(in: restored.memory) == [])
            try restored.resume()

            let pair = try MachinePair(moving: restored, guest, tracker: tracker)
            #expect(try pair.run() == .completed)
            let there = try #require(pair.destination)
            try guest.run(there, rounds: 2)
            try there.pause()
            #expect(try guest.faults(in: there.memory) == [])
        }
    }
}

import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import TestSupport
import Testing

extension MachineTests {
    /// Whole migrations of the tiny guest.
    @Suite(.serialized) struct Moving {
        @Test(arguments: kvmTrackers, [1, 2])
        func `The guest arrives undamaged and keeps running`(tracker: TrackerKind, vcpus: Int) throws {
            let guest = TinyGuest(pages: 256, seed: 7, vcpus: vcpus)
            let pair = try MachinePair(guest, tracker: tracker) { $0.usesHints = false }
            try pair.source.run(rounds: 2)
            #expect(try pair.run() == .completed)
            try expectArrived(pair)
            let report = pair.migration.report
            #expect(report.verify?.status == .passed && report.tracker == tracker.rawValue)
            #expect(report.freePageHints.skippedPages == 0)
        }

        @Test(arguments: kvmTrackers, [1, 2])
        func `Free blocks are not sent, and those taken back into use are`(tracker: TrackerKind, vcpus: Int) throws {
            let guest = TinyGuest(pages: 256, seed: 11, vcpus: vcpus, freeBlocks: 8, reusedBlocks: 3)
            let pair = try MachinePair(guest, tracker: tracker)
            try pair.source.run(rounds: 2)
            try eventually("the driver is not up") { pair.source.machine.hinting!.isAvailable }
            #expect(try pair.run() == .completed)
            try expectArrived(pair)
            let report = pair.migration.report
            #expect(report.verify?.status == .passed)
            // Eight blocks of 256 pages. The first pages of three blocks were written again.
            #expect(report.freePageHints.skippedPages >= 8 * 256 - 3, "\(report.freePageHints)")
            #expect(report.freePageHints.invalidBlocks == 0)
            let there = try #require(pair.destination)
            try eventually("the guest does not get its blocks back") { try !guest.record(in: there.memory).holdsBlocks }
            #expect(try guest.record(in: there.memory).answers >= 1)
        }

        @Test func `A guest moves there and back ten times, with all trackers`() throws {
            let guest = TinyGuest(pages: 128, seed: 3, vcpus: 2)
            var here = try TinyMachine(guest).machine
            try guest.run(here)
            for trip in 0..<10 {
                let before = try guest.record(in: here.memory).progress
                let pair = try MachinePair(moving: here, guest, tracker: kvmTrackers[trip % 3])
                #expect(try pair.run() == .completed, "trip \(trip)")
                here = try #require(pair.destination)
                #expect(zip(before, try guest.record(in: here.memory).progress).allSatisfy { $0 <= $1 })
                try guest.run(here)
            }
            try here.pause()
            #expect(try guest.faults(in: here.memory) == [])
        }

        private func expectArrived(_ pair: MachinePair) throws {
            let guest = pair.source.guest
            #expect(pair.destinationOutcome() == .running(guestRuns: true))
            let there = try #require(pair.destination)
            #expect(!pair.source.machine.isRunning && there.isRunning)
            // The source keeps the state in which the guest left it.
            #expect(try pair.source.faults == [])
            let left = try pair.source.record.progress
            #expect(zip(left, try guest.record(in: there.memory).progress).allSatisfy { $0 <= $1 })
            try guest.run(there, rounds: 2)
            #expect(there.receive([0x30]) == 1)
            try there.pause()
            #expect(try guest.faults(in: there.memory) == [])
        }
    }
}

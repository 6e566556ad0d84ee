import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import TestSupport
import Testing

extension MachineTests {
    @Suite(.serialized) struct Running {
        @Test(arguments: [1, 2])
        func `The guest writes its pattern, stands while paused, and continues`(vcpus: Int) throws {
            let tiny = try TinyMachine(TinyGuest(pages: 64, vcpus: vcpus, drivesBalloon: false))
            try tiny.run(rounds: 3)
            for _ in 0..<20 {
                try tiny.machine.pause()
                #expect(try tiny.faults == [])
                let stood = try tiny.record
                let digest = (0..<tiny.machine.memory.pageCount).map { tiny.machine.memory.digest(PageIndex($0)) }
                HostThread.sleep(for: .milliseconds(2))
                #expect(try tiny.record == stood)
                #expect((0..<tiny.machine.memory.pageCount).map { tiny.machine.memory.digest(PageIndex($0)) } == digest)
                try tiny.machine.resume()
                try tiny.run()
            }
            #expect(try tiny.record.progress.count == vcpus && tiny.heard.endings == [])
        }

        @Test func `The guest answers on the serial port`() throws {
            let tiny = try TinyMachine(TinyGuest(pages: 16))
            for byte in [0x41, 0x42, 0x00, 0xFF] as [UInt8] {
                #expect(tiny.machine.receive([byte]) == 1)
                #expect(tiny.heard.nextByte() == byte &+ 1)
            }
        }

        @Test(arguments: kvmTrackers)
        func `A machine without references ends its threads and releases its memory`(tracker: TrackerKind) throws {
            weak var memory: GuestRAM?
            try inScope {
                let tiny = try TinyMachine(TinyGuest(pages: 16, vcpus: 2), tracker: tracker)
                try tiny.run()
                memory = tiny.machine.memory
            }
            // The last reference may be that of a thread that is ending.
            try eventually("somebody holds the machine's memory") { memory == nil }
        }

        private func inScope(_ body: () throws -> Void) rethrows { try body() }

        @Test func `A vCPU in a tight loop stands on request`() throws {
            let tiny = try TinyMachine(TinyGuest(pages: 16, vcpus: 2))
            try tiny.run()
            #expect(tiny.machine.receive([UInt8(ascii: "s")]) == 1)
            var before = try tiny.record.progress[0]
            try eventually("it is not stuck") {
                HostThread.sleep(for: .milliseconds(20))
                defer { before = (try? tiny.record.progress[0]) ?? before }
                return try tiny.record.progress[0] == before
            }
            let start = MonotonicClock.now()
            try tiny.machine.pause()
            #expect(start.duration(to: MonotonicClock.now()) < .seconds(1))
            #expect(try tiny.faults == [])
            try tiny.machine.resume()
            tiny.machine.shutdown()
        }
    }
}

extension UInt8 {
    init(ascii scalar: Unicode.Scalar) { self = UInt8(scalar.value) }
}

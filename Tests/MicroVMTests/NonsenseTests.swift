import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import TestSupport
import Testing

extension MachineTests {
    /// Guests that write nonsense to their devices. The host must keep control of the machine.
    @Suite(.serialized) struct Nonsense {
        @Test(arguments: 1...8 as ClosedRange<UInt64>)
        func `A guest that writes nonsense to every balloon register does not break its machine`(seed: UInt64) throws {
            let tiny = try TinyMachine(TinyGuest(pages: 16, seed: seed))
            try eventually("the driver is not up") { try tiny.record.hasBalloon }
            #expect(tiny.machine.receive([UInt8(ascii: "n")]) == 1)
            #expect(tiny.heard.nextByte() == UInt8(ascii: "!"))
            try tiny.run()
            try expectMovable(tiny)
        }

        @Test(arguments: 1...8 as ClosedRange<UInt64>)
        func `Nonsense in every port and register, of every width, does not break a running machine`(seed: UInt64) throws {
            var random = SeededGenerator(seed: seed)
            let tiny = try TinyMachine(TinyGuest(pages: 16, seed: seed))
            try eventually("the driver is not up") { try tiny.record.hasBalloon }
            let bus = tiny.machine.registry.bus
            for _ in 0..<20000 {
                let value = UInt64.random(in: 0...(Bool.random(using: &random) ? 16 : .max), using: &random)
                let width = Int.random(in: 1...8, using: &random)
                switch Int.random(in: 0..<6, using: &random) {
                case 0: bus.write(address: 0xD000_0000 + .random(in: 0..<0x1200, using: &random), width: width, value: value)
                case 1: bus.write(address: 0xD000_0000 + 4 * .random(in: 0..<64, using: &random), width: 4, value: value)
                case 2: _ = bus.read(address: 0xD000_0000 + .random(in: 0..<0x1200, using: &random), width: width)
                case 3: _ = bus.read(address: .random(in: 0 ... .max, using: &random), width: width)
                case 4:
                    // Spares the ports that end the guest, and the serial port's loop mode, which would send it commands.
                    let port = UInt16.random(in: 0x3F0...0x400, using: &random)
                    if port != 0x3FC { bus.output(port: port, width: 1, value: UInt32(truncatingIfNeeded: value)) }
                default: _ = bus.input(port: .random(in: 0 ... .max, using: &random), width: [1, 2, 4].randomElement(using: &random)!)
                }
            }
            try tiny.run()
            try expectMovable(tiny)
        }

        /// The machine stands on request, and another machine takes its state and continues, whatever the guest did to its devices.
        private func expectMovable(_ tiny: TinyMachine) throws {
            try tiny.machine.pause()
            let record = try tiny.record
            let memory = try GuestRAM(tiny.machine.memory.regions)
            for region in memory.regions.regions {
                try memory.write(try tiny.machine.memory.read(at: region.base, byteCount: Int(region.byteCount)), at: region.base)
            }
            let other = try MicroVM(shell: memory, requirements: tiny.machine.requirements)
            try other.loadDeviceState(try tiny.machine.saveDeviceState())
            try other.resume()
            try tiny.guest.run(other)
            try other.pause()
            #expect(try tiny.guest.record(in: memory).progress[0] > record.progress[0])
        }
    }
}

import AerostatGuestMemory
import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import SystemPackage
import TestSupport
import Testing

/// Errors that need no KVM.
@Suite struct DeviceErrorTests {
    @Test func `If there is no /dev/kvm, one line says so and what helps`() throws {
        #expect(throws: KVMError.absent(path: "/nonexistent/kvm")) { _ = try KVM(path: "/nonexistent/kvm") }
        let text = "\(KVMError.absent(path: "/dev/kvm"))"
        #expect(text.contains("/dev/kvm") && text.contains("kvm_intel") && !text.contains("\n"))
    }

    @Test func `The error for a device that may not be opened names the group that may open it`() throws {
        let error = KVMError.opening("/etc/passwd", .permissionDenied)
        #expect(error == .forbidden(path: "/etc/passwd", group: "root"))
        #expect("\(error)".contains("group root"))
    }

    @Test func `Another file in its place is refused`() throws {
        #expect(throws: KVMError.unusable(path: "/dev/null", .inappropriateIOCTLForDevice)) { _ = try KVM(path: "/dev/null") }
    }
}

extension MachineTests {
    @Suite(.serialized) struct BadDays {
        @Test func `A KVM that lacks a required capability is refused, and the capability is named`() throws {
            let flying = KVMCapability("KVM_CAP_FLYING", 30000)
            #expect(throws: KVMError.capability("KVM_CAP_FLYING", path: "/dev/kvm")) {
                _ = try KVM(requiring: KVMCapability.required + [flying])
            }
        }

        @Test(arguments: [0, 65])
        func `A machine has 1 to 64 vCPUs`(count: Int) throws {
            var configuration = MicroVMConfiguration(TinyGuest())
            configuration.vcpus = count
            #expect(throws: GuestError("\(KVMError.vcpus(count, maximum: 64))")) { try MicroVM(booting: configuration) }
        }

        /// How a guest ends, the command that makes it end so, and how that is reported.
        enum End: String, CaseIterable {
            case powerOff = "p"
            case reset = "r"
            case tripleFault = "t"
            case unknownInstruction = "u"

            func matches(_ ending: MicroVM.Ending) -> Bool {
                switch (self, ending) {
                case (.powerOff, .powerOff), (.reset, .reset): true
                case (.tripleFault, .crash(let reason)): reason.contains("triple fault")
                // Real processors know the instruction but do not allow it here.
                case (.unknownInstruction, .crash(let reason)):
                    reason.contains("triple fault") || reason.contains("emulates guest instructions") && reason.contains("0f ae")
                default: false
                }
            }
        }

        @Test(arguments: End.allCases, [1, 2])
        func `A guest's end is reported once; the machine then stands, can be inspected, and cannot migrate`(how: End, vcpus: Int) throws {
            let tiny = try TinyMachine(TinyGuest(pages: 16, vcpus: vcpus))
            try tiny.run()
            #expect(tiny.machine.receive(Array(how.rawValue.utf8)) == 1)
            let ending = try #require(tiny.heard.ending())
            #expect(how.matches(ending), "\(ending)")
            #expect(!tiny.machine.isRunning && tiny.machine.ending == ending)
            try tiny.machine.pause()
            #expect(try tiny.faults == [])
            #expect(throws: GuestError("the guest has ended: \(ending)")) { try tiny.machine.resume() }
            #expect(throws: GuestError("the guest has ended: \(ending)")) { try tiny.machine.saveDeviceState() }
            #expect(tiny.heard.endings.count == 1)
        }

        @Test(arguments: End.allCases)
        func `A guest that ends during its migration does not arrive`(how: End) throws {
            let pair = try MachinePair(TinyGuest(pages: 256), tracker: nil) { $0.bandwidthLimit = 16 << 20 }
            try pair.source.run()
            let stopper = try HostThread(name: "stopper") { [source = pair.source, migration = pair.migration] in
                while migration.report.ram.transferred == 0, migration.outcome == nil { HostThread.sleep(for: .milliseconds(1)) }
                _ = source.machine.receive(Array(how.rawValue.utf8))
            }
            guard case .failed(let failure) = try pair.run() else {
                Issue.record("\(pair.migration.report)")
                return
            }
            stopper.join()
            #expect("\(failure)".contains("the guest has ended"), "\(failure)")
            guard case .failed = pair.destinationOutcome() else {
                Issue.record("\(pair.destinationOutcome())")
                return
            }
            #expect(pair.destination?.isRunning != true)
            try pair.source.machine.pause()
            #expect(try pair.source.faults == [])
        }

        @Test(arguments: kvmTrackers)
        func `A cancelled migration leaves the guest running where it was`(tracker: TrackerKind) throws {
            let pair = try MachinePair(TinyGuest(pages: 256, vcpus: 2), tracker: tracker) { $0.bandwidthLimit = 4 << 20 }
            try pair.source.run()
            let stopper = try HostThread(name: "stopper") { [migration = pair.migration] in
                while migration.report.ram.transferred == 0, migration.outcome == nil { HostThread.sleep(for: .milliseconds(1)) }
                migration.cancel()
            }
            guard case .cancelled = try pair.run() else {
                Issue.record("\(pair.migration.report)")
                return
            }
            stopper.join()
            #expect(pair.source.machine.isRunning && pair.destination?.isRunning != true)
            try pair.source.run(rounds: 2)
            try eventually("the guest does not get its blocks back") { try !pair.source.record.holdsBlocks }
            try pair.source.machine.pause()
            #expect(try pair.source.faults == [])
        }

        @Test(arguments: Lack.allCases)
        func `A destination that lacks something refuses before memory moves, and the guest keeps running`(what: Lack) throws {
            let pair = try MachinePair(TinyGuest(pages: 256), tracker: nil)
            try pair.source.run()
            guard case .failed(let failure) = try pair.run(tamper: what.tamper) else {
                Issue.record("\(pair.migration.report)")
                return
            }
            #expect("\(failure)".contains(what.words), "\(failure)")
            #expect(pair.destination == nil && pair.source.machine.isRunning)
            #expect(pair.migration.report.ram.normal == 0)
            try pair.source.run()
        }

        /// What a destination may lack. The test changes the source's requirements to simulate that.
        enum Lack: CaseIterable {
            case section, version, vcpus, frequency, extendedState, capability, register, feature, truncated

            var words: String {
                switch self {
                case .section: "no section kvm-machine"
                case .version: "version 3"
                case .vcpus: "vCPU count: 65"
                case .frequency: "kHz"
                case .extendedState: "extended state"
                case .capability: "capability 30000"
                case .register: "MSR 0xdeadbeef"
                case .feature: "avx512f"
                case .truncated: "ends in"
                }
            }

            func tamper(_ sections: [DeviceSection]) -> [DeviceSection] {
                let section = sections["kvm-machine"]
                // vCPUs, frequency, extended state; then capabilities, MSRs and CPUID entries, each list behind its count.
                var words = (0..<section.bytes.count / 4).map { index in
                    section.bytes[index * 4..<index * 4 + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                }
                let msrs = 4 + Int(words[3])
                let cpuid = msrs + 1 + Int(words[msrs])
                switch self {
                case .section: return []
                case .version: return [section.with(version: 3)]
                case .truncated: return [section.with(bytes: Array(section.bytes.dropLast(3)))]
                case .vcpus: words[0] = 65
                case .frequency: words[1] /= 2
                case .extendedState: words[2] = 1 << 16
                case .capability: words[4] = 30000
                case .register: words[msrs + 1] = 0xDEAD_BEEF
                case .feature:
                    let entry = (0..<Int(words[cpuid])).map { cpuid + 1 + 7 * $0 }.first { words[$0] == 7 && words[$0 + 1] == 0 }!
                    words[entry + 4] |= 1 << 16
                }
                return [section.with(bytes: words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } })]
            }
        }
    }
}

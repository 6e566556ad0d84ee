import AerostatGuestMemory
import AerostatMachineHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest
import AerostatQMP
import ArgumentParser

/// Where a process gets its guest from, according to its options.
enum MachineOrigin {
    case incoming(MigrationURI)
    case image(path: String)
    case new(NewGuest)

    /// The origin in the terms of the machine's host.
    var hosted: MachineHost.Origin {
        switch self {
        case .incoming: .incoming
        case .image: .image
        case .new: .new
        }
    }

    /// Binds the address at once if a guest is to come in, so that it can be announced.
    func listen() throws -> IncomingListener? {
        guard case .incoming(let uri) = self else { return nil }
        return try IncomingListener(uri)
    }

    /// Makes the guest, if it is a new one.
    func make(tracker: TrackerKind?, _ surroundings: MachineSurroundings) throws -> (any LocalGuest)? {
        guard case .new(let guest) = self else { return nil }
        return try guest.make(tracker: tracker, surroundings)
    }
}

/// A guest that this process makes.
enum NewGuest {
    case model(ModelGuestConfiguration)
    case machine(MicroVMConfiguration)

    func make(tracker: TrackerKind?, _ surroundings: MachineSurroundings) throws -> any LocalGuest {
        switch self {
        case .model(let configuration): return try ModelGuest(booting: configuration, tracker: tracker)
        case .machine(let configuration):
            let guest = try MicroVM(booting: configuration, tracker: tracker, observer: surroundings.observer)
            surroundings.console?.attach(guest)
            return guest
        }
    }
}

extension RunCommand {
    /// The size if `--memory` is absent and no guest comes in.
    private static let defaultMemory: UInt64 = 256 << 20

    /// The origin that the options describe. Contradicting options are refused.
    func origin() throws -> MachineOrigin {
        if preload, restore == nil { throw ValidationError("--preload goes with --restore") }
        if clone, restore == nil { throw ValidationError("--clone goes with --restore") }
        try checkTracker()
        if let incoming {
            if restore != nil { throw ValidationError("a guest comes in (--incoming) or from an image (--restore), not both") }
            let uri = try Self.uri(incoming)
            _ = try shape()
            try refuseMaking(with: "--incoming", except: guest?.engine == .kvm ? [] : ["--hole"])
            return .incoming(uri)
        }
        if let restore {
            let path = try Self.image(restore)
            if options.memory != nil { throw ValidationError("--memory has no meaning with --restore: the guest comes as it is") }
            try refuseMaking(with: "--restore", except: ["--workload", "--write-rate", "--working-set"])
            try options.checkWorkload(absence: "without it the guest does what it did")
            return .image(path: path)
        }
        return .new(try newGuest())
    }

    /// Standard input and output, if a person starts a Linux machine.
    func consolePlace(_ origin: MachineOrigin) -> ConsolePlace {
        if let place = machine.console { return place }
        if case .new = origin, guest == .kvm { return .stdio }
        return .none
    }

    /// The memory that an incoming guest must have; `nil` accepts any.
    func shape() throws -> RegionTable? {
        guard guest?.engine == .kvm, let memory = options.memory else { return try options.regions() }
        do throws(RegionTableError) { return try MachineLayout.regions(memory: UInt64(memory)) } catch {
            throw ValidationError("--memory: \(error)")
        }
    }

    private func newGuest() throws -> NewGuest {
        switch guest ?? .model {
        case .model:
            try machine.refuseAll(with: "--guest model")
            return .model(try options.configuration(defaultMemory: Self.defaultMemory, driver: balloonDriver ?? .correct))
        case .kvm:
            try refuseModelOptions(with: "--guest kvm", except: ["--vcpus"])
            guard let kernel = machine.kernel else { throw ValidationError("--guest kvm starts a kernel: say which one with --kernel") }
            var configuration = MicroVMConfiguration(
                memory: try memory() ?? Self.defaultMemory,
                vcpus: try vcpus(),
                kernel: kernel,
                initrd: machine.initrd,
                commandLine: machine.commandLine ?? MachineOptions.defaultCommandLine
            )
            if machine.noRng { configuration.devices = [.balloon] }
            return .machine(configuration)
        case .tiny:
            try refuseModelOptions(with: "--guest tiny", except: ["--vcpus", "--seed"])
            try machine.refuseMaking(with: "--guest tiny")
            let tiny = TinyGuest(seed: options.seed ?? 1, vcpus: try vcpus())
            let memory = try memory() ?? tiny.memoryBytes
            guard memory >= tiny.memoryBytes else {
                throw ValidationError("the tiny guest needs \(Figures.size(Int(tiny.memoryBytes))) of memory")
            }
            return .machine(MicroVMConfiguration(tiny, memory: memory))
        }
    }

    private func refuseModelOptions(with option: String, except allowed: Set<String>) throws {
        let reason = "it is for model guests"
        try options.refuseMaking(with: option, because: reason, except: allowed)
        if balloonDriver != nil { throw ValidationError("--balloon-driver has no meaning with \(option): \(reason)") }
    }

    /// In whole pages.
    private func memory() throws -> UInt64? { try options.regions()?.byteCount }

    private func vcpus() throws -> Int {
        let count = options.vcpus ?? 1
        guard (1...KVM.maximumVCPUs).contains(count) else {
            throw ValidationError("--vcpus must be from 1 to \(KVM.maximumVCPUs), not \(count)")
        }
        return count
    }

    /// Refuses options for making a guest when no guest is made.
    private func refuseMaking(with option: String, except allowed: Set<String> = []) throws {
        if guest == .tiny { throw ValidationError("a tiny guest is one for KVM once it runs: with \(option) say --guest kvm") }
        try options.refuseMaking(with: option, except: allowed)
        if balloonDriver != nil { throw ValidationError("--balloon-driver has no meaning with \(option): the guest comes as it is") }
        try guest == .model ? machine.refuseAll(with: "--guest model") : machine.refuseMaking(with: "\(option): the guest comes as it is")
    }

    private func checkTracker() throws {
        guard let tracker = options.tracker else { return }
        switch (tracker, guest?.engine) {
        case (.software, .kvm): throw ValidationError("--tracker software does not see what a vCPU under KVM writes")
        case (.kvmDirtyLog, .model), (.kvmDirtyRing, .model):
            throw ValidationError("--tracker \(tracker.rawValue) is for guests under KVM (--guest kvm)")
        case (.kvmDirtyLog, nil), (.kvmDirtyRing, nil):
            guard incoming != nil || restore != nil else {
                throw ValidationError("--tracker \(tracker.rawValue) is for guests under KVM (--guest kvm)")
            }
        default: return
        }
    }

    private static func uri(_ text: String) throws -> MigrationURI {
        do throws(MigrationURI.ParseError) { return try MigrationURI(text) } catch { throw ValidationError("\(error)") }
    }

    private static func image(_ text: String) throws -> String {
        guard case .file(let path) = try uri(text) else {
            throw ValidationError(
                "--restore takes file:PATH, not '\(text)'; a guest that comes from another process is waited for with --incoming"
            )
        }
        return path
    }
}

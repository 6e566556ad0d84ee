import AerostatGuestMemory
import AerostatHost
import AerostatMachineHost
import AerostatMicroVM
import AerostatMigration
import AerostatModelGuest

/// Which guests from elsewhere this process takes, and what their machines are connected to.
struct MachineShells: GuestShells {
    /// The only ones that are taken; `nil` takes whichever comes.
    let engine: GuestEngine?
    let tracker: TrackerKind?
    let surroundings: MachineSurroundings

    /// Whether a guest that runs under KVM may come.
    var takeMachines: Bool { engine != .model && tracker != .software }

    /// Looks at what a guest requires, foreign input, before it gets any memory.
    /// - Throws: the refusal.
    func shell(for requirements: [DeviceSection]) throws(GuestError) -> any GuestShell {
        let wanted = try GuestEngine(for: requirements)
        if let engine, engine != wanted {
            throw GuestError("the guest is \(wanted.description), and only \(engine.description) is taken here (--guest)")
        }
        if case .model = wanted { try ModelGuest.check(requirements: requirements) }
        return MachineShell(engine: wanted, requirements: requirements, tracker: tracker, surroundings: surroundings)
    }
}

/// An empty machine that is about to be made for a guest from elsewhere.
struct MachineShell: GuestShell {
    fileprivate let engine: GuestEngine
    fileprivate let requirements: [DeviceSection]
    fileprivate let tracker: TrackerKind?
    fileprivate let surroundings: MachineSurroundings

    /// - Parameter memory: the guest's, empty or an image's.
    /// - Throws: also what this host lacks of the requirements.
    func make(in memory: GuestRAM) throws(GuestError) -> any LocalGuest {
        switch engine {
        case .model:
            do throws(SystemError) {
                return try ModelGuest(shell: memory, requirements: requirements, tracker: tracker)
            } catch {
                throw GuestError("\(error)")
            }
        case .kvm:
            let guest = try MicroVM(shell: memory, requirements: requirements, tracker: tracker, observer: surroundings.observer)
            surroundings.console?.attach(guest)
            return guest
        }
    }
}

/// What a machine under KVM is connected to in this process.
struct MachineSurroundings: Sendable {
    /// `nil` where nobody listens to the guest.
    let console: Console?
    /// Hears that the guest has ended by its own doing, on a vCPU's thread.
    let ended: @Sendable (MicroVM.Ending) -> Void

    var observer: MicroVM.Observer { console?.observer(ended: ended) ?? MicroVM.Observer(ended: ended) }
}

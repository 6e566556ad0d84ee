import AerostatGuestMemory
import AerostatHost
import AerostatMachineHost
import AerostatMicroVM
import AerostatMigration
import AerostatModelGuest

/// Which incoming guests this process accepts, and what their machines are connected to.
struct MachineShells: GuestShells {
    /// The only engine whose guests are accepted; `nil` accepts any.
    let engine: GuestEngine?
    let tracker: TrackerKind?
    let surroundings: MachineSurroundings

    /// Whether a guest under KVM may come in.
    var takeMachines: Bool { engine != .model && tracker != .software }

    /// Checks the requirements of a guest, which are foreign input, before the guest gets any memory.
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

/// An empty machine that is about to be made for an incoming guest.
struct MachineShell: GuestShell {
    fileprivate let engine: GuestEngine
    fileprivate let requirements: [DeviceSection]
    fileprivate let tracker: TrackerKind?
    fileprivate let surroundings: MachineSurroundings

    /// - Parameter memory: the guest's memory, empty or an image's.
    /// - Throws: also if the host lacks something that the guest requires.
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
    /// `nil` if nobody reads the guest's console.
    let console: Console?
    /// Called on a vCPU's thread when the guest has ended on its own.
    let ended: @Sendable (MicroVM.Ending) -> Void

    var observer: MicroVM.Observer { console?.observer(ended: ended) ?? MicroVM.Observer(ended: ended) }
}

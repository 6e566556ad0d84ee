import AerostatMicroVM
import AerostatMigration
import AerostatModelGuest
import ArgumentParser

/// What `--guest` can start.
enum GuestKind: String, ExpressibleByArgument, CaseIterable {
    case model, kvm, tiny

    /// The engine that runs it.
    var engine: GuestEngine {
        switch self {
        case .model: .model
        case .kvm, .tiny: .kvm
        }
    }
}

/// The engine that runs a guest. Incoming guests and guests in images name it in their requirements.
enum GuestEngine: Sendable {
    case model, kvm

    /// The engine that a guest's requirements ask for.
    init(for requirements: [DeviceSection]) throws(GuestError) {
        for requirement in requirements {
            switch requirement.name {
            case ModelGuest.kind: self = .model
            case MicroVM.kind: self = .kvm
            default: continue
            }
            return
        }
        let names = requirements.map(\.name).joined(separator: ", ")
        throw GuestError(names.isEmpty ? "the guest does not say what kind it is" : "nothing here offers what the guest requires: \(names)")
    }

    /// For people, with its article.
    var description: String {
        switch self {
        case .model: "a model guest"
        case .kvm: "one for KVM"
        }
    }
}

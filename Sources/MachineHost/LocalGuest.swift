public import AerostatGuestMemory
public import AerostatMigration
public import AerostatQMP

/// A guest that this process runs, whatever it is made of.
public protocol LocalGuest: Guest {
    /// False where it is paused, or has ended.
    var isRunning: Bool { get }

    /// Has the guest look over its own memory.
    /// - Throws: why it cannot.
    func checkItself() throws(GuestError) -> SelfCheck

    /// What a person may press; `nil` where the guest has no such button.
    var powerButton: (any PowerButton)? { get }

    /// Ends its threads. It cannot be resumed afterwards; its memory stays.
    func shutdown()
}

/// Asks a guest to power off; what it does about that is its own affair.
public protocol PowerButton {
    /// Returns at once.
    func pressPowerButton()
}

/// Which guests from elsewhere a process takes.
public protocol GuestShells: Sendable {
    /// Looks at what a guest requires, foreign input, before it gets any memory.
    /// - Throws: the refusal.
    func shell(for requirements: [DeviceSection]) throws(GuestError) -> any GuestShell
}

/// An empty machine that is about to be made for a guest from elsewhere.
public protocol GuestShell: Sendable {
    /// - Parameter memory: the guest's, empty or an image's.
    /// - Throws: also what this host lacks of the requirements.
    func make(in memory: GuestRAM) throws(GuestError) -> any LocalGuest
}

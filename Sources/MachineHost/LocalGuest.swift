public import AerostatGuestMemory
public import AerostatMigration
public import AerostatQMP

/// A guest of any kind that this process runs.
public protocol LocalGuest: Guest {
    /// False if the guest is paused or has ended.
    var isRunning: Bool { get }

    /// Makes the guest check its own memory.
    /// - Throws: why it cannot.
    func checkItself() throws(GuestError) -> SelfCheck

    /// The guest's power button; `nil` if it has none.
    var powerButton: (any PowerButton)? { get }

    /// Ends the guest's threads. It cannot be resumed afterwards; its memory stays.
    func shutdown()
}

/// Asks a guest to power off. The guest decides whether it does.
public protocol PowerButton {
    /// Returns at once.
    func pressPowerButton()
}

/// Decides which incoming guests a process accepts.
public protocol GuestShells: Sendable {
    /// Checks the requirements of a guest, which are foreign input, before the guest gets any memory.
    /// - Throws: the refusal.
    func shell(for requirements: [DeviceSection]) throws(GuestError) -> any GuestShell
}

/// An empty machine that is about to be made for a guest from elsewhere.
public protocol GuestShell: Sendable {
    /// - Parameter memory: the guest's memory, empty or an image's.
    /// - Throws: also if the host lacks something that the guest requires.
    func make(in memory: GuestRAM) throws(GuestError) -> any LocalGuest
}

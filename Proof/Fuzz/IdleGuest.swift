import AerostatGuestMemory
import AerostatMigration

/// A guest of memory only.
final class IdleGuest: Guest {
    let memory: GuestRAM
    let tracker: any DirtyTracker
    let hinting: (any FreePageHinting)? = nil
    let requirements = [DeviceSection(name: "idle", version: 1, bytes: [7])]
    // Belongs to the one thread of the fuzzer.
    nonisolated(unsafe) private let link: ForeignLink?

    /// - Parameter link: over which it comes; `nil` for a guest that is here.
    init(_ memory: GuestRAM, link: ForeignLink? = nil) {
        self.memory = memory
        tracker = SoftwareTracker(memory)
        unsafe self.link = link
    }

    func pause() {}
    func resume() throws(GuestError) { demand(unsafe link?.hasCommitted ?? true, "no guest runs before the commit") }
    func saveDeviceState() -> [DeviceSection] { [DeviceSection(name: "idle", version: 1, bytes: [1, 2, 3])] }
    func memoryUse() -> MemoryUse? { nil }

    func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError) {
        demand(sections.count <= DeviceSection.maximumCount, "device sections are bounded")
        if sections.first?.bytes.first == 0xEE { throw GuestError("refused") }
    }
}

public import AerostatMigration

/// The devices of one machine, in the order in which they were attached. Code that parks, saves or moves a machine iterates over them and
/// knows no particular device.
public struct MachineDevices: Sendable {
    public private(set) var slots: [DeviceSlot]

    /// - Parameter slots: no two devices may have the same name.
    public init(_ slots: [DeviceSlot] = []) {
        precondition(Set(slots.map(\.name)).count == slots.count, "two devices of one name")
        self.slots = slots
    }

    /// - Throws: if the machine already has a device of that name, because their sections could not be told apart.
    public mutating func attach(_ slot: DeviceSlot) throws(GuestError) {
        guard !slots.contains(where: { $0.name == slot.name }) else { throw GuestError("the machine has a device \(slot.name) already") }
        slots.append(slot)
    }

    /// Call after the vCPUs were stopped: on return no device writes guest memory.
    public func park() { for slot in slots { slot.park() } }

    /// Call before the vCPUs are started.
    public func unpark() { for slot in slots { slot.unpark() } }

    /// What the devices of a destination must offer.
    public var requirements: [DeviceSection] { slots.flatMap(\.device.requirements) }

    /// Refuses a requirement that no device here names.
    /// - Parameter requirements: foreign input.
    public func check(_ requirements: [DeviceSection]) throws(GuestError) {
        let offered = self.requirements
        for requirement in requirements where !offered.contains(requirement) {
            throw GuestError("the guest needs \(requirement.name) (version \(requirement.version)), which no device here offers")
        }
    }

    /// The sections of all devices. Call only while they are parked.
    public func saveState() -> [DeviceSection] { slots.flatMap { $0.saveState() } }

    /// Checks the state of every device before any of it is applied. So after an error all of them are unchanged.
    /// - Parameter sections: foreign input.
    public func decodeState(_ sections: [DeviceSection]) throws(GuestError) -> DeviceRestoration {
        var restorations: [DeviceRestoration] = []
        for slot in slots {
            do throws(DeviceStateError) { restorations.append(try slot.decodeState(sections)) } catch {
                throw GuestError("\(slot.name): \(error)")
            }
        }
        return DeviceRestoration { for restoration in restorations { restoration.apply() } }
    }
}

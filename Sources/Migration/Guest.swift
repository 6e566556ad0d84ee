public import AerostatGuestMemory

/// A machine that the engine can move: its memory, and what the engine must be able to ask of it.
///
/// Called from the migration's own thread, one call at a time.
public protocol Guest: AnyObject, Sendable {
    var memory: GuestRAM { get }

    /// Reads and re-arms which pages were written.
    var tracker: any DirtyTracker { get }

    /// The guest's balloon device, where it has one that offers free-page hints.
    var hinting: (any FreePageHinting)? { get }

    /// What a destination must offer to run this guest: its kind, and whatever of the machine the guest has come to rely on. It is sent
    /// before any memory, so that a destination which cannot take the guest refuses while nothing has been moved. The same as long as
    /// the guest lives; together at most `Hello.maximumRequirementBytes`.
    var requirements: [DeviceSection] { get }

    /// Stops every vCPU and device thread. On return nobody but the caller writes guest RAM or gives some of it back, all writes made are
    /// visible to a harvest and the device state stands still. Pausing a paused guest does nothing.
    func pause() throws(GuestError)

    /// Lets the guest run. Resuming a running guest does nothing.
    func resume() throws(GuestError)

    /// The state that is not RAM. Only while paused.
    func saveDeviceState() throws(GuestError) -> [DeviceSection]

    /// Takes over state that another process saved, RAM being in place already. The guest stays paused.
    /// The sections are foreign input: whatever is wrong with them is an error.
    func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError)

    /// What the guest itself counts, where it can.
    func memoryUse() -> MemoryUse?
}

/// The guest (or its device model) could not do what was asked.
public struct GuestError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// A named, versioned piece of device state. The engine carries the bytes without looking into them.
public struct DeviceSection: Hashable, Sendable {
    /// At most 64 bytes of UTF-8, "virtio-balloon" for example.
    public let name: String
    public let version: UInt32
    /// At most 1 MiB.
    public let bytes: [UInt8]

    /// The longest name, in bytes of UTF-8.
    public static let maximumNameBytes = 64
    /// The most bytes that one section may hold.
    public static let maximumBytes = 1 << 20
    /// The most sections one guest may have.
    public static let maximumCount = 256

    public init(name: String, version: UInt32, bytes: [UInt8]) {
        precondition(name.utf8.count <= Self.maximumNameBytes && bytes.count <= Self.maximumBytes, "device section too large")
        self.name = name
        self.version = version
        self.bytes = bytes
    }
}

/// What the guest itself counts, in bytes.
public struct MemoryUse: Hashable, Sendable, Codable {
    /// Allocated memory, the guest's own tables included.
    public var usedBytes: UInt64
    /// Memory on its free lists, also what the balloon driver holds for hints.
    public var freeBytes: UInt64
    /// The part of `freeBytes` in blocks of the order that is hinted.
    public var freeTopOrderBytes: UInt64

    public init(usedBytes: UInt64, freeBytes: UInt64, freeTopOrderBytes: UInt64) {
        self.usedBytes = usedBytes
        self.freeBytes = freeBytes
        self.freeTopOrderBytes = freeTopOrderBytes
    }

    enum CodingKeys: String, CodingKey {
        case usedBytes = "used-bytes"
        case freeBytes = "free-bytes"
        case freeTopOrderBytes = "free-top-order-bytes"
    }
}

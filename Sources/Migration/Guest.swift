public import AerostatGuestMemory

/// A machine that the engine can move: its memory, and what the engine must be able to ask of it.
///
/// Called from the migration's own thread, one call at a time.
public protocol Guest: AnyObject, Sendable {
    var memory: GuestRAM { get }

    /// Says which pages were written, and re-arms them.
    var tracker: any DirtyTracker { get }

    /// The guest's balloon device; `nil` if it has none that offers free-page hints.
    var hinting: (any FreePageHinting)? { get }

    /// What a destination must offer to run this guest: the kind of guest, and the features of the machine that the guest relies on. It is
    /// sent before any memory, so that a destination that cannot take the guest refuses before anything has been moved. It never changes
    /// during the guest's life. Its sections together take at most `Hello.maximumRequirementBytes`.
    var requirements: [DeviceSection] { get }

    /// Stops every vCPU and device thread. On return only the caller may write guest RAM or give some of it back, a harvest sees all
    /// earlier writes, and the device state does not change. Pausing a paused guest does nothing.
    func pause() throws(GuestError)

    /// Lets the guest run. Resuming a running guest does nothing.
    func resume() throws(GuestError)

    /// The state that is not RAM. Only while paused.
    func saveDeviceState() throws(GuestError) -> [DeviceSection]

    /// Loads state that another process saved. RAM must be in place already. The guest stays paused. The sections are foreign input:
    /// anything wrong with them is an error, never a trap.
    func loadDeviceState(_ sections: [DeviceSection]) throws(GuestError)

    /// The guest's own memory counters; `nil` if it has none.
    func memoryUse() -> MemoryUse?
}

/// The guest (or its device model) could not do what was asked.
public struct GuestError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// A named, versioned piece of device state. The engine carries the bytes without looking into them.
public struct DeviceSection: Hashable, Sendable {
    /// At most 64 bytes of UTF-8, for example "virtio-balloon".
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

/// The guest's own memory counters, in bytes.
public struct MemoryUse: Hashable, Sendable, Codable {
    /// Allocated memory, including the guest's own tables.
    public var usedBytes: UInt64
    /// Memory on its free lists, including what the balloon driver holds for hints.
    public var freeBytes: UInt64
    /// The part of `freeBytes` in blocks of the order that the driver hints.
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

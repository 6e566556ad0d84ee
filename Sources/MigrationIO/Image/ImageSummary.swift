import AerostatGuestMemory
import AerostatHost
import AerostatMigration

/// What an image says about itself, as `aerostat image info --json` shows it. Sizes are in bytes.
public struct ImageSummary: Hashable, Sendable, Codable {
    public let path: String
    public let formatVersion: Int
    public let createdBy: String
    public let id: String
    /// ISO 8601, in UTC; absent if the file holds a number that is not a time.
    public let begun: String?
    public let finished: String?
    /// Whether the guest was running, and will run when it is restored.
    public let running: Bool
    /// Whether it has moved on since, or was about to when its process ended.
    public let hasLeft: Bool
    public let pageSize: Int
    public let regions: [Region]
    public let memoryBytes: Int
    /// Pages that existed and are not free: stored pages and zero pages.
    public let populatedBytes: Int
    public let storedBytes: Int
    public let zeroBytes: Int
    public let freeBytes: Int
    public let absentBytes: Int
    /// The file's length, and the space that it takes on the disk.
    public let fileBytes: Int
    public let diskBytes: Int
    /// What a process must offer to start the guest. The first one names the guest's kind.
    public let requirements: [Section]
    public let deviceSections: [Section]

    /// A memory region.
    public struct Region: Hashable, Sendable, Codable {
        /// Guest-physical.
        public let base: UInt64
        public let size: UInt64
    }

    /// A requirement or a device section, without its bytes.
    public struct Section: Hashable, Sendable, Codable {
        public let name: String
        public let version: UInt32
        public let bytes: Int

        init(_ section: DeviceSection) { (name, version, bytes) = (section.name, section.version, section.bytes.count) }
    }

    public init(_ image: GuestImage) {
        let header = image.header
        let size = GuestPage.size
        path = image.path
        formatVersion = Int(ImageHeader.version)
        createdBy = header.creator
        id = "\(header.id)"
        begun = WallClock.iso8601(header.begun)
        finished = WallClock.iso8601(header.finished)
        running = header.guestRuns
        hasLeft = image.hasLeft
        pageSize = size
        regions = header.regions.regions.map { Region(base: $0.base.rawValue, size: $0.byteCount) }
        memoryBytes = header.regions.pageCount * size
        populatedBytes = (header.dataPages + header.zeroPages) * size
        storedBytes = header.dataPages * size
        zeroBytes = header.zeroPages * size
        freeBytes = header.freePages * size
        absentBytes = memoryBytes - populatedBytes - freeBytes
        fileBytes = header.fileBytes
        diskBytes = Int(clamping: image.file.diskBytes)
        requirements = image.requirements.map(Section.init)
        deviceSections = image.deviceSections.map(Section.init)
    }

    enum CodingKeys: String, CodingKey {
        case path, id, begun, finished, running, regions, requirements
        case hasLeft = "moved-on"
        case formatVersion = "format-version"
        case createdBy = "created-by"
        case pageSize = "page-size"
        case memoryBytes = "memory-bytes"
        case populatedBytes = "populated-bytes"
        case storedBytes = "stored-bytes"
        case zeroBytes = "zero-bytes"
        case freeBytes = "free-bytes"
        case absentBytes = "absent-bytes"
        case fileBytes = "file-bytes"
        case diskBytes = "disk-bytes"
        case deviceSections = "device-sections"
    }
}

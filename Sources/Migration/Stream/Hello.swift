public import AerostatGuestMemory
import AerostatHost

/// The first frame of each side: the speaker's versions and capabilities, the guest's shape and its requirements.
public struct Hello: Hashable, Sendable {
    /// Oldest and newest stream version that the speaker understands.
    public var versions: ClosedRange<UInt16>
    /// Chosen by the source, repeated by the destination: 128 random bits.
    public var session: SessionID
    public var pageSize: UInt32
    public var capabilities: Capabilities
    public var regions: RegionTable
    /// What the destination must offer, according to the guest. The destination's own hello requires nothing.
    public var requirements: [DeviceSection]

    /// Version 1 did not say what the guest requires, not even its kind. It is refused, because a destination would learn that it cannot
    /// run the guest only from the device state, after all memory has arrived. No release spoke version 1.
    public static let ourVersions: ClosedRange<UInt16> = 2...2
    /// The most bytes that the requirements take together, including names and lengths: they are sent in one frame.
    public static let maximumRequirementBytes = 1 << 20

    public init(session: SessionID, regions: RegionTable, capabilities: Capabilities, requirements: [DeviceSection] = []) {
        precondition(requirements.count <= DeviceSection.maximumCount, "too many requirements")
        versions = Self.ourVersions
        self.session = session
        pageSize = UInt32(GuestPage.size)
        self.capabilities = capabilities
        self.regions = regions
        self.requirements = requirements
    }

    /// The destination's answer.
    public var answer: Hello { Hello(session: session, regions: regions, capabilities: capabilities) }

    /// The capabilities that this migration uses; unknown bits are refused.
    public struct Capabilities: OptionSet, Hashable, Sendable {
        public let rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }

        /// XXH3 digests of all pages are sent and compared before commit.
        public static let verify = Capabilities(rawValue: 1 << 1)
        /// The same with the digest of versions before 0.3.0. It has a name here so that we can refuse it by name: digests of two kinds are
        /// never compared. Those versions refuse `verify`, which they do not know.
        public static let verifyByOldDigest = Capabilities(rawValue: 1 << 0)
        /// All capabilities of this version.
        public static let known: Capabilities = [.verify]
    }

    public func encode() -> [UInt8] {
        var writer = FieldBytes()
        writer.append(versions.lowerBound)
        writer.append(versions.upperBound)
        writer.append(pageSize)
        writer.append(session.high)
        writer.append(session.low)
        writer.append(capabilities.rawValue)
        writer.append(UInt32(regions.regions.count))
        for region in regions.regions {
            writer.append(region.base.rawValue)
            writer.append(region.byteCount)
        }
        writer.append(UInt32(requirements.count))
        let start = writer.bytes.count
        for requirement in requirements { requirement.append(to: &writer) }
        precondition(writer.bytes.count - start <= Self.maximumRequirementBytes, "requirements too large")
        return writer.bytes
    }

    public init(decoding body: [UInt8]) throws(StreamError) {
        var reader = StreamReader(body)
        let oldest: UInt16 = try reader.take("oldest version")
        let newest: UInt16 = try reader.take("newest version")
        guard oldest <= newest else { throw .malformed("version range \(oldest) to \(newest)") }
        versions = oldest...newest
        // The version determines the layout of what follows.
        guard versions.overlaps(Self.ourVersions) else { throw .versions(versions) }
        pageSize = try reader.take("page size")
        session = SessionID(high: try reader.take("session id"), low: try reader.take("session id"))
        capabilities = Capabilities(rawValue: try reader.take("capabilities"))
        let count: UInt32 = try reader.take("region count")
        guard count <= RegionTable.maximumRegions else {
            throw .limit("number of memory regions", value: UInt64(count), maximum: UInt64(RegionTable.maximumRegions))
        }
        var regions: [MemoryRegion] = []
        for _ in 0..<count {
            regions.append(MemoryRegion(base: GuestAddress(try reader.take("region")), byteCount: try reader.take("region")))
        }
        do { self.regions = try RegionTable(regions) } catch { throw .malformed("\(error)") }
        let sections: UInt32 = try reader.take("requirement count")
        guard reader.remaining <= Self.maximumRequirementBytes else {
            throw .limit("requirements", value: UInt64(reader.remaining), maximum: UInt64(Self.maximumRequirementBytes))
        }
        requirements = try DeviceSection.list(&reader, count: Int(sections))
        try reader.finish()
    }

    /// Why this side cannot migrate with the other; `nil` if it can.
    /// - Parameter shape: the guest's memory here; `nil` if this side takes the other's shape.
    public func refusal(shape: RegionTable?) -> String? {
        guard pageSize == GuestPage.size else { return "the other side has pages of \(pageSize) bytes, this one of \(GuestPage.size)" }
        guard !capabilities.contains(.verifyByOldDigest) else {
            return "the other side verifies by a digest that Aerostat had before 0.3.0; without verification it can migrate"
        }
        guard capabilities.isSubset(of: .known) else {
            return "the other side wants capabilities that this one does not have "
                + "(0x\(String(capabilities.subtracting(.known).rawValue, radix: 16)))"
        }
        if let shape, shape != regions {
            return shape.byteCount == regions.byteCount
                ? "the guest's memory lies at other addresses: \(regions.summary) there, \(shape.summary) here"
                : "the guest has \(exactSize(regions.byteCount)) of memory there and \(exactSize(shape.byteCount)) here"
        }
        return nil
    }
}

/// Identifies one migration.
public struct SessionID: Hashable, Sendable, CustomStringConvertible {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A new random id, unique in practice.
    public static func random() -> SessionID { SessionID(high: .random(in: .min ... .max), low: .random(in: .min ... .max)) }

    /// 32 hexadecimal digits.
    public var description: String {
        [high, low].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}

extension RegionTable {
    var summary: String { regions.map { "\($0.base)+\(exactSize($0.byteCount))" }.joined(separator: ", ") }
}

public import AerostatVirtio

extension VirtioFeatures {
    /// VIRTIO_BALLOON_F_MUST_TELL_HOST
    public static let mustTellHost = VirtioFeatures(rawValue: 1 << 0)
    /// VIRTIO_BALLOON_F_STATS_VQ
    public static let statistics = VirtioFeatures(rawValue: 1 << 1)
    /// VIRTIO_BALLOON_F_DEFLATE_ON_OOM
    public static let deflateOnOOM = VirtioFeatures(rawValue: 1 << 2)
    /// VIRTIO_BALLOON_F_FREE_PAGE_HINT
    public static let freePageHint = VirtioFeatures(rawValue: 1 << 3)
    /// VIRTIO_BALLOON_F_PAGE_POISON
    public static let pagePoison = VirtioFeatures(rawValue: 1 << 4)
    /// VIRTIO_BALLOON_F_PAGE_REPORTING
    public static let reporting = VirtioFeatures(rawValue: 1 << 5)
}

/// Fields of the balloon's configuration space (specification 5.5.4): 32 bits each, little-endian.
public enum BalloonConfiguration {
    /// How many 4 KiB pages the host wants the balloon to hold.
    public static let targetPagesOffset = 0
    /// How many pages the balloon holds. The driver writes it.
    public static let actualPagesOffset = 4
    /// The current hint command, STOP or DONE. Present if hints are offered.
    public static let commandIDOffset = 8
    /// The word that fills the guest's free pages. The driver writes it before DRIVER_OK. Present if poison is offered.
    public static let poisonOffset = 12

    /// The size in bytes. It depends on the offered features, not on the negotiated ones: a driver that declines one sees the same space.
    public static func byteCount(offered: VirtioFeatures) -> Int {
        if offered.contains(.pagePoison) { return 16 }
        return offered.contains(.freePageHint) ? 12 : 8
    }
}

/// What one of the balloon's queues is for.
public enum BalloonQueue: Int, CaseIterable, Sendable {
    case inflate = 0
    case deflate = 1
    case statistics = 2
    case freePageHint = 3
    case reporting = 4

    /// The feature without which the queue does not exist.
    package var feature: VirtioFeatures {
        switch self {
        case .inflate, .deflate: []
        case .statistics: .statistics
        case .freePageHint: .freePageHint
        case .reporting: .reporting
        }
    }

    var maximumSize: UInt16 {
        switch self {
        case .inflate, .deflate, .statistics: 128
        case .freePageHint: 1024
        case .reporting: 32
        }
    }

    /// Which queue each index is; `nil` for a gap.
    ///
    /// The specification gives each queue a fixed number and leaves a gap where a feature is absent. Drivers (Linux) number the queues
    /// that exist for the negotiated features densely, and so does this device unless told otherwise.
    static func order(_ negotiated: VirtioFeatures, specificationNumbers: Bool) -> [BalloonQueue?] {
        let existing = allCases.filter { negotiated.isSuperset(of: $0.feature) }
        guard specificationNumbers else { return existing }
        return (0...existing.last!.rawValue).map { number in existing.first { $0.rawValue == number } }
    }
}

/// What a balloon device offers its driver. A machine that a guest moves to must offer what the guest's driver has accepted.
public struct BalloonOptions: Hashable, Sendable {
    /// Free-page hints for migrations.
    public var offersHints: Bool
    /// The driver may say what its free pages contain.
    public var offersPoison: Bool
    /// The guest may be asked for statistics.
    public var offersStatistics: Bool
    /// The driver may report free blocks at any time. They are given back at once.
    public var offersReporting: Bool
    /// The guest may take pages out of the balloon before it runs out of memory. Without this, Linux subtracts the balloon's pages from
    /// its total memory.
    public var offersDeflateOnOOM: Bool
    /// The driver tells before it touches a page of the balloon again. With this, a huge page that was inflated in small pieces is given
    /// back once all of it is in the balloon. Without it, such a huge page is never given back.
    public var offersMustTellHost: Bool
    /// Number the queues as the specification does, with gaps, instead of as Linux does.
    public var usesSpecificationQueueNumbers: Bool

    public init(
        offersHints: Bool = true,
        offersPoison: Bool = true,
        offersStatistics: Bool = true,
        offersReporting: Bool = true,
        offersDeflateOnOOM: Bool = true,
        offersMustTellHost: Bool = false,
        usesSpecificationQueueNumbers: Bool = false
    ) {
        self.offersHints = offersHints
        self.offersPoison = offersPoison
        self.offersStatistics = offersStatistics
        self.offersReporting = offersReporting
        self.offersDeflateOnOOM = offersDeflateOnOOM
        self.offersMustTellHost = offersMustTellHost
        self.usesSpecificationQueueNumbers = usesSpecificationQueueNumbers
    }

    var features: VirtioFeatures {
        var features: VirtioFeatures = [.version1, .eventIndex, .indirectDescriptors]
        if offersHints { features.insert(.freePageHint) }
        if offersPoison { features.insert(.pagePoison) }
        if offersStatistics { features.insert(.statistics) }
        if offersReporting { features.insert(.reporting) }
        if offersDeflateOnOOM { features.insert(.deflateOnOOM) }
        if offersMustTellHost { features.insert(.mustTellHost) }
        return features
    }
}

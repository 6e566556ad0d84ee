import AerostatVirtio

extension VirtioFeatures {
    /// VIRTIO_BALLOON_F_MUST_TELL_HOST
    static let mustTellHost = VirtioFeatures(rawValue: 1 << 0)
    /// VIRTIO_BALLOON_F_STATS_VQ
    static let balloonStatistics = VirtioFeatures(rawValue: 1 << 1)
    /// VIRTIO_BALLOON_F_DEFLATE_ON_OOM
    static let deflateOnOOM = VirtioFeatures(rawValue: 1 << 2)
    /// VIRTIO_BALLOON_F_REPORTING
    static let pageReporting = VirtioFeatures(rawValue: 1 << 5)
}

import AerostatVirtio

extension VirtioFeatures {
    /// VIRTIO_BALLOON_F_STATS_VQ
    static let statistics = VirtioFeatures(rawValue: 1 << 1)
    /// VIRTIO_BALLOON_F_REPORTING
    static let reporting = VirtioFeatures(rawValue: 1 << 5)
}

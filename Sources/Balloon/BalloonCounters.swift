/// What a balloon has done and refused since it was made. A driver's mistakes are counted, and never stop the device.
public struct BalloonCounters: Hashable, Sendable {
    // MARK: What the driver sent

    /// Buffers on the inflate queue.
    public var inflateBuffers = 0
    /// Buffers on the deflate queue.
    public var deflateBuffers = 0
    /// Buffers on the statistics queue.
    public var statisticsBuffers = 0
    /// Buffers on the reporting queue.
    public var reportBuffers = 0
    /// Pages that the driver put into the balloon.
    public var inflatedPages = 0
    /// Pages that it took out.
    public var deflatedPages = 0
    /// Pages that it reported as free.
    public var reportedPages = 0

    // MARK: What became of the pages

    /// Pages that went back to the host.
    public var givenBackPages = 0
    /// Pages that were filled with zeros and not given back, because they are parts of huge pages or because their file cannot have holes.
    public var clearedPages = 0
    /// Huge pages that were given back as a whole when their last part went into the balloon.
    public var completedHugePages = 0
    /// Pages that were accepted but not given back, because the balloon was inhibited.
    public var inhibitedPages = 0
    /// Reported pages that were not given back, because the guest relies on their fill pattern.
    public var poisonedPages = 0
    /// Pages that the kernel refused to take back.
    public var failedPages = 0

    // MARK: What was refused, or made no sense

    /// Pages that are not in the guest's RAM.
    public var outsidePages = 0
    /// Pages where no memory is plugged.
    public var absentPages = 0
    /// Pages of the device's own rings, or of the buffer that names the pages.
    public var ownPages = 0
    /// Pages that were named more than once in a buffer, or put into the balloon again while they were in it.
    public var repeatedPages = 0
    /// Pages that the driver took out although they were not in the balloon.
    public var unknownPages = 0
    /// Reported blocks that are not whole pages in RAM.
    public var refusedReports = 0
    /// Statistics values with an unknown tag.
    public var unknownTags = 0
    /// Statistics buffers that came while the device already held one.
    public var surplusStatisticsBuffers = 0
    /// Bytes at the end of buffers that do not make a whole entry.
    public var oddBytes = 0
    /// Bytes past the limit that is read of one buffer.
    public var surplusBytes = 0
    /// Buffer segments outside RAM. The rest of such a buffer is not read.
    public var unreadableSegments = 0
    /// Buffer segments that are device-writable where the device reads, or device-readable where it writes.
    public var wrongWaySegments = 0
    /// The driver's writes to configuration fields that are not its own, that come too late, or that do not cover a whole field.
    public var refusedWrites = 0

    public init() {}
}

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

    /// Pages that the host has back.
    public var givenBackPages = 0
    /// Pages that were filled with zeros and stay, because they are parts of huge pages, or because their file cannot have holes.
    public var clearedPages = 0
    /// Whole huge pages that were given back when the last of their pages was in the balloon.
    public var completedHugePages = 0
    /// Pages that were taken and not given back, because the balloon was inhibited.
    public var inhibitedPages = 0
    /// Reported pages that were not given back, because the guest relies on what it has filled them with.
    public var poisonedPages = 0
    /// Pages that the kernel refused to take back.
    public var failedPages = 0

    // MARK: What was refused, or made no sense

    /// Pages that are not in the guest's RAM.
    public var outsidePages = 0
    /// Pages where no memory is plugged.
    public var absentPages = 0
    /// Pages of the device's own rings, or of the buffer that names them.
    public var ownPages = 0
    /// Pages that were named more than once in a buffer, or put into the balloon while they were in it.
    public var repeatedPages = 0
    /// Pages that were taken out of the balloon and not in it.
    public var unknownPages = 0
    /// Reported blocks that are not whole pages in RAM.
    public var refusedReports = 0
    /// Values in statistics with a tag that is not known.
    public var unknownTags = 0
    /// Statistics buffers that came while one was held already.
    public var surplusStatisticsBuffers = 0
    /// Bytes at the end of buffers that are no whole entry.
    public var oddBytes = 0
    /// Bytes behind the most that is read of one buffer.
    public var surplusBytes = 0
    /// Parts of buffers that are not in RAM. What lies behind them in the buffer is not read.
    public var unreadableSegments = 0
    /// Parts of buffers that are to be written where the device reads, or the other way round.
    public var wrongWaySegments = 0
    /// Writes of the driver to configuration fields that are not its own, or too late, or not whole.
    public var refusedWrites = 0

    public init() {}
}

import NIOCore

/// Closes the connection of a client that does not read. Otherwise its queued output would grow without bound.
final class OutputLimit: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// More than any reply, and room for about ten thousand events.
    static let maximumBytes = 4 << 20

    private var waitingBytes = 0
    private let dropped: @Sendable () -> Void

    init(dropped: @escaping @Sendable () -> Void) { self.dropped = dropped }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let count = unwrapOutboundIn(data).readableBytes
        guard waitingBytes + count <= Self.maximumBytes else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            dropped()
            return context.close(promise: nil)
        }
        waitingBytes += count
        let promise = promise ?? context.eventLoop.makePromise()
        promise.futureResult.assumeIsolated().whenComplete { _ in self.waitingBytes -= count }
        context.write(data, promise: promise)
    }
}

import NIOCore
import NIOPosix

/// Moves the bytes of all control sockets of this process: one thread is enough for them. NIO's own shared loops are as many as there are
/// processors, each with a thread and three descriptors, and NIO ends the process where it cannot have one of them.
enum ControlLoop {
    static let group: any EventLoopGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}

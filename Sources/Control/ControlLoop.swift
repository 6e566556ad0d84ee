import NIOCore
import NIOPosix

/// Moves the bytes of all control sockets of this process. One thread is enough for them. NIO's shared group has a loop for each processor,
/// each with a thread and three descriptors, and NIO ends the process if it cannot get one of them.
enum ControlLoop {
    static let group: any EventLoopGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}

import NIOPosix

/// Runs tasks that may block. It has threads of its own, so neither the event loop nor the few threads of the default executor are held up.
final class BlockingExecutor: TaskExecutor {
    private let pool: NIOThreadPool

    init(threadCount: Int) {
        pool = NIOThreadPool(numberOfThreads: threadCount)
        pool.start()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // A job must run even after the pool was shut down: otherwise its task would never end.
        pool.submit { _ in unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }

    /// Ends the threads. The tasks must have ended before.
    func shutdown() { pool.shutdownGracefully { _ in } }
}

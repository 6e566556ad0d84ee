import NIOPosix

/// Runs tasks that may block, on threads that nobody else needs: neither the event loop nor the few threads of the default executor
/// stand still meanwhile.
final class BlockingExecutor: TaskExecutor {
    private let pool: NIOThreadPool

    init(threadCount: Int) {
        pool = NIOThreadPool(numberOfThreads: threadCount)
        pool.start()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // A job must run even where the pool has been shut down: its task would never end.
        pool.submit { _ in unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }

    /// Ends the threads; the tasks have ended before.
    func shutdown() { pool.shutdownGracefully { _ in } }
}

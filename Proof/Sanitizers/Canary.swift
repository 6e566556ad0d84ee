import CCanary
import Glibc
import Synchronization

/// What tools/sanitize runs first: bugs that a sanitizer must report, and code in which it must not report anything. As long as both
/// hold, its silence about everything else means something.
@main struct Canary {
    static func main() async {
        switch CommandLine.arguments.dropFirst().first {
        case "race": count(withUnguardedThread: true)
        case "correct":
            count(withUnguardedThread: false)
            for _ in 0..<3 {
                await resumeLate()
                await resumeEarly()
            }
        case "freed": readFreedMemory()
        case "leaked": loseMemory()
        case "shift": print(canary_shift(31 + CommandLine.argc))
        default: exit(64)
        }
    }

    // MARK: Threads

    /// A mutex that is waited for, and what it guards.
    private final class Shared: Sendable {
        let lock = Mutex<Void>(())
        nonisolated(unsafe) var count = 0

        func resume(_ continuation: UnsafeContinuation<Void, Never>, after microseconds: UInt32) {
            usleep(microseconds)
            count = 1
            continuation.resume()
        }
    }

    /// Two threads count under a mutex, and wait for it over and over; a third does not ask.
    private static func count(withUnguardedThread isRacy: Bool) {
        let shared = Shared()
        var threads = (0..<2).map { _ in
            start {
                for _ in 0..<100 {
                    shared.lock.withLock { _ in
                        shared.count += 1
                        sched_yield()
                    }
                }
            }
        }
        if isRacy { threads.append(start { shared.count += 1 }) }
        for thread in threads { pthread_join(thread, nil) }
        print(shared.count)
    }

    /// A continuation that another thread resumes before its task waits for it, with what that thread has written.
    @inline(never)
    private static func resumeEarly() async {
        let shared = Shared()
        await withUnsafeContinuation { continuation in
            pthread_detach(start { shared.resume(continuation, after: 0) })
            usleep(100_000)
        }
        print(shared.count)
    }

    /// The other order, in the same memory: each task must go on with its own.
    @inline(never)
    private static func resumeLate() async {
        let shared = Shared()
        await withUnsafeContinuation { continuation in
            pthread_detach(start { shared.resume(continuation, after: 50_000) })
            usleep(0)
        }
        print(-shared.count)
    }

    private final class Start {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private static func start(_ body: @escaping () -> Void) -> pthread_t {
        var thread = pthread_t()
        pthread_create(
            &thread,
            nil,
            { argument in
                Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            },
            Unmanaged.passRetained(Start(body)).toOpaque()
        )
        return thread
    }

    // MARK: Memory

    private static func readFreedMemory() {
        let words = UnsafeMutablePointer<Int>.allocate(capacity: 8)
        words.initialize(repeating: 1, count: 8)
        words.deallocate()
        print(words[Int(CommandLine.argc)])
    }

    private static func loseMemory() {
        for _ in 0..<8 { UnsafeMutablePointer<Int>.allocate(capacity: 512).initialize(repeating: 1, count: 512) }
    }
}

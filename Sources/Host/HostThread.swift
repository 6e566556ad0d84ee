import CLinux
import Glibc
import SystemPackage

/// A named kernel thread that its owner can join.
///
/// The engine, the hint thread and the model's vCPUs block in system calls. Threads of Swift's cooperative pool must not.
public final class HostThread: Sendable {
    private let finished: Monitor<Bool>

    /// Starts a thread.
    /// - Parameters:
    ///   - name: shown by `ps -L` and debuggers; cut to 15 bytes.
    ///   - body: what the thread runs. The thread ends when it returns.
    public init(name: String, _ body: sending @escaping () -> Void) throws(SystemError) {
        let finished = Monitor(false)
        self.finished = finished
        let start = unsafe Unmanaged.passRetained(
            Start(name: String(decoding: name.utf8.prefix(15), as: UTF8.self)) {
                body()
                finished.update { $0 = true }
            }
        )
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread,
            &attributes,
            { argument in
                let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                unsafe aerostat_name_thread(start.name)
                start.body()
                return nil
            },
            start.toOpaque()
        )
        if code != 0 {
            unsafe start.release()
            throw SystemError("start a thread", place: name, code: Errno(rawValue: code))
        }
    }

    /// Sleeps for a while, so that others can use the core. For pacing only; to wait for something, use a `Monitor` or a `Doorbell`.
    public static func sleep(for duration: Duration) {
        let (seconds, attoseconds) = duration.components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        unsafe nanosleep(&time, nil)
    }

    /// Sleeps until the thread's body has returned.
    public func join() {
        _ = finished.wait { $0 ? true : nil }
    }

    private final class Start {
        let name: String
        let body: () -> Void
        init(name: String, body: @escaping () -> Void) {
            self.name = name
            self.body = body
        }
    }
}

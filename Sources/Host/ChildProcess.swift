import CLinux
import Glibc
import SystemPackage

/// A program that this process started and that never outlives it: the kernel kills the child when this process ends, even if this process
/// is killed.
///
/// The child has its own process group, so the interrupt key reaches only this process.
public final class ChildProcess: Sendable {
    public let identifier: Int32
    private let ending = Monitor<Int32?>(nil)

    /// All living children. `nil` after `endAll`: any child that is started later is killed.
    private static let living = Monitor<[Int32: ChildProcess]?>([:])

    /// Starts a program whose output goes to files.
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - output: a file for its standard output; emptied first.
    ///   - errors: a file for its standard error; emptied first.
    public convenience init(_ path: String, _ arguments: [String], output: String, errors: String) throws(SystemError) {
        let out = try OwnedDescriptor.emptied(output, mode: 0o644)
        let err = try OwnedDescriptor.emptied(errors, mode: 0o644)
        try self.init(path, arguments, output: out.number, errors: err.number)
    }

    /// Starts a program.
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - output: the descriptor that becomes its standard output.
    ///   - errors: the descriptor that becomes its standard error.
    public init(_ path: String, _ arguments: [String], output: Int32, errors: Int32) throws(SystemError) {
        let request = Spawner.Request(path: path, arguments: arguments, output: output, errors: errors)
        let identifier = try Spawner.shared.get().spawn(request)
        self.identifier = identifier
        let isWelcome = Self.living.update { living in
            living?[identifier] = self
            return living != nil
        }
        do throws(SystemError) {
            _ = try HostThread(name: "child") { [ending] in Self.awaitEnd(identifier, ending) }
        } catch {
            // Without the thread, nobody would notice its end.
            kill(identifier, SIGKILL)
            Self.awaitEnd(identifier, ending)
            throw error
        }
        if !isWelcome { signal(SIGKILL) }
    }

    private static func awaitEnd(_ identifier: Int32, _ ending: Monitor<Int32?>) {
        var information = unsafe siginfo_t()
        // Wait without reaping: until the child is reaped, under the lock, no other process can get its number.
        while unsafe waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        // Remove it before it is reaped, because the next child may get its number.
        living.update { _ = $0?.removeValue(forKey: identifier) }
        ending.update { ending in
            var status: Int32 = 0
            unsafe waitpid(identifier, &status, 0)
            ending = status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
        }
    }

    /// The exit code, or the negated number of the signal that ended it; `nil` while it runs.
    public var exitCode: Int32? { ending.withLock { $0 } }

    /// Sleeps until it has ended.
    /// - Parameter deadline: when to give up; `nil` waits for ever.
    /// - Returns: the same as `exitCode`.
    @discardableResult
    public func wait(until deadline: MonotonicClock.Instant? = nil) -> Int32? { ending.wait(until: deadline) { $0 } }

    /// Sends a signal, unless the child has ended.
    public func signal(_ number: Int32) {
        ending.withLock { if $0 == nil { kill(identifier, number) } }
    }

    /// Kills all children of this process. A child that is started later is killed immediately.
    /// - Parameter limit: how long to wait for them to end. A process that hangs in the kernel does not end.
    public static func endAll(within limit: Duration) {
        let children = living.update { living in
            defer { living = nil }
            return living.map { Array($0.values) } ?? []
        }
        for child in children { child.signal(SIGKILL) }
        let deadline = MonotonicClock.now() + limit
        for child in children { child.wait(until: deadline) }
    }
}

/// Forks on one thread that lives as long as the process, because the kernel ties a child's life to the thread that forked it.
private final class Spawner: Sendable {
    struct Request: Sendable {
        let path: String
        let arguments: [String]
        let output: Int32
        let errors: Int32
    }

    private struct State {
        var request: Request?
        var answer: Result<Int32, SystemError>?
        var isBusy = false
    }

    static let shared = Result { () throws(SystemError) in try Spawner() }

    private let state = Monitor(State())

    private init() throws(SystemError) {
        _ = try HostThread(name: "spawner") { [state] in
            while let request = state.wait({ $0.request.take() }) {
                let answer = Self.fork(request)
                state.update { $0.answer = answer }
            }
        }
    }

    func spawn(_ request: Request) throws(SystemError) -> Int32 {
        _ = state.wait { state -> Bool? in
            if state.isBusy { return nil }
            state.isBusy = true
            return true
        }
        state.update { $0.request = request }
        let answer = state.wait { $0.answer.take() }!
        state.update { $0.isBusy = false }
        return try answer.get()
    }

    private static func fork(_ request: Request) -> Result<Int32, SystemError> {
        var arguments = unsafe ([request.path] + request.arguments).map { unsafe strdup($0) } + [nil]
        defer { unsafe arguments.forEach { unsafe free($0) } }
        let identifier = unsafe aerostat_spawn(request.path, &arguments, request.output, request.errors)
        if identifier > 0 { return .success(identifier) }
        return .failure(SystemError("start a process", place: request.path, code: .init(rawValue: errno)))
    }
}

import AerostatHost

/// Does the operations on one image that may take as long as the disk likes and are not ring operations: creates the partial file, sets its
/// length, gives it its name, removes it. Runs on its own thread, one errand at a time.
///
/// The migration's thread makes none of these calls. A paused guest would have to wait for them, and nobody could cancel.
final class FileErrands: Sendable {
    enum Errand: Hashable, Sendable {
        case create
        case setLength(Int)
        case publish
    }

    enum Outcome: Sendable {
        case done
        /// The errand had no effect.
        case failed(SystemError)
        /// The errand may have had its effect.
        case unknown(SystemError)
    }

    private struct State {
        var next: Errand?
        var outcome: Outcome?
        var file: OutputFile?
        var isOver = false
        var hasEnded = false
    }

    /// Rung when an errand is done, and when the file is closed.
    let doorbell: Doorbell
    private let state = Monitor(State())

    init(_ path: String, _ calls: FileCalls) throws(SystemError) {
        doorbell = try Doorbell()
        _ = try HostThread(name: "image file") { [state, doorbell] in
            while let errand = Self.next(state) {
                let outcome = Self.run(errand, state, path, calls)
                state.update { $0.outcome = outcome }
                doorbell.ring()
            }
            state.withLock { $0.file }?.end()
            state.update { $0.hasEnded = true }
            doorbell.ring()
        }
    }

    /// Sleeps until there is an errand; `nil` at the end.
    private static func next(_ state: Monitor<State>) -> Errand? {
        let next = state.wait { state -> Errand?? in
            if state.isOver { return .some(nil) }
            return state.next.take().map { .some($0) }
        }
        return next.flatMap(\.self)
    }

    private static func run(_ errand: Errand, _ state: Monitor<State>, _ path: String, _ calls: FileCalls) -> Outcome {
        do throws(SystemError) {
            if case .create = errand {
                let file = try OutputFile(path, .image, calls: calls)
                state.withLock { $0.file = file }
                return .done
            }
            guard let file = state.withLock({ $0.file }) else { preconditionFailure("\(errand) before there is a file") }
            switch errand {
            case .create: break
            case .setLength(let byteCount): try file.setLength(UInt64(byteCount))
            case .publish:
                switch file.publish() {
                case .published: break
                case .failed(let error): return .failed(error)
                case .unknown(let error): return .unknown(error)
                }
            }
            return .done
        } catch {
            return .failed(error)
        }
    }

    /// Hands over an errand. The previous one must be done.
    func begin(_ errand: Errand) { state.update { $0.next = errand } }

    /// How the last errand ended. Returned once.
    func takeOutcome() -> Outcome? { state.withLock { $0.outcome.take() } }

    /// The file; `nil` until it was created.
    var file: OutputFile? { state.withLock { $0.file } }

    /// Closes the file when the current errand is done. Removes it unless it has its final name.
    func end() { state.update { $0.isOver = true } }

    var hasEnded: Bool { state.withLock { $0.hasEnded } }
}

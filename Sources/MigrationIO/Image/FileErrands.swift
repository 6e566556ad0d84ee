import AerostatHost

/// Does for one image what may take as long as the disk likes and is no operation of the ring: makes the partial file, gives it its length
/// and its name, removes it. On a thread of its own, one after the other.
///
/// The migration's thread calls none of that: a guest that stands still would wait with it, and nobody could cancel.
final class FileErrands: Sendable {
    enum Errand: Hashable, Sendable {
        case create
        case setLength(Int)
        case publish
    }

    enum Outcome: Sendable {
        case done
        /// It did not happen.
        case failed(SystemError)
        /// It may have happened.
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

    /// Sleeps until there is one; `nil` at the end.
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

    /// Hands over an errand; the one before is done.
    func begin(_ errand: Errand) { state.update { $0.next = errand } }

    /// How the last one ended, once.
    func takeOutcome() -> Outcome? { state.withLock { $0.outcome.take() } }

    /// The file, once it was made.
    var file: OutputFile? { state.withLock { $0.file } }

    /// Closes the file, and removes it unless it is in its place, when what is under way is done.
    func end() { state.update { $0.isOver = true } }

    var hasEnded: Bool { state.withLock { $0.hasEnded } }
}

import CCoroutine

/// A function with its own stack that takes turns with others on one thread.
///
/// This lets the engine's blocking loops run unchanged: where they would sleep, the simulator suspends them. Only one thread may use it.
@safe
final class Coroutine {
    private let coroutine: OpaquePointer
    private var body: (() -> Void)?

    /// Enough for the engine's deepest calls, including text formatting. The stack is populated as it is touched.
    private static let stackBytes = 256 << 10

    init() {
        guard let coroutine = unsafe coroutine_create(Self.stackBytes) else { preconditionFailure("no memory for a stack") }
        unsafe self.coroutine = coroutine
    }

    /// If the function never returned, its stack stays allocated, because nothing can unwind it.
    deinit { if unsafe coroutine_is_idle(coroutine) { unsafe coroutine_destroy(coroutine) } }

    var isIdle: Bool { unsafe coroutine_is_idle(coroutine) }

    /// Gives an idle coroutine its function, which begins with the first `resume`.
    func start(_ body: @escaping () -> Void) {
        self.body = body
        unsafe coroutine_start(
            coroutine,
            { argument in
                let coroutine = unsafe Unmanaged<Coroutine>.fromOpaque(argument!).takeUnretainedValue()
                coroutine.body?()
                coroutine.body = nil
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }

    func resume() { unsafe coroutine_resume(coroutine) }
    func suspend() { unsafe coroutine_suspend(coroutine) }
}

/// Idle coroutines, reused from scenario to scenario.
final class CoroutinePool {
    private var idle: [Coroutine] = []

    func take() -> Coroutine { idle.popLast() ?? Coroutine() }
    func giveBack(_ coroutine: Coroutine) { if coroutine.isIdle { idle.append(coroutine) } }
}

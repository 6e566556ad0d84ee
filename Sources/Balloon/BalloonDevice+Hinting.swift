public import AerostatMigration
import AerostatVirtio

extension BalloonDevice: FreePageHinting {
    public var isAvailable: Bool { worker.withState { $0.canHint } }

    /// Linux accepts this feature if it was booted with `init_on_free` or `page_poison`.
    public var fillsFreedPages: Bool { worker.withState { $0.queues.negotiated.contains(.pagePoison) } }

    /// Opens a command. If the driver is not ready, the sink hears at once that the command is over.
    ///
    /// The sink is called under the device's lock, by the hint thread and by the thread that ends a command. It must not call the device.
    public func begin(reportingTo sink: any HintSink) -> CommandID {
        worker.withState { state in
            let canHint = state.canHint
            let id = state.hints.begin(reportingTo: sink, canHint: canHint, waiting: state.waitingHintChains)
            if canHint { state.signals.configurationChanged() }
            return id
        }
    }

    public func stop() {
        worker.withState { state in
            if state.hints.end() { state.signals.configurationChanged() }
        }
    }

    public func done(heard: (@Sendable () -> Void)?) {
        worker.withState { state in
            if state.hints.done(heard: heard) { state.signals.configurationChanged() }
            state.hints.answerDone()
        }
    }

    public var statistics: HintStatistics { worker.withState { $0.hints.statistics } }

    public var balloonFigures: BalloonFigures {
        worker.withState { state in
            var figures = BalloonFigures()
            figures.balloonedPages = state.account.pageCount
            figures.reportedPages = state.account.counters.reportedPages
            return figures
        }
    }

    public func resetStatistics() { worker.withState { $0.hints.statistics = HintStatistics() } }
}

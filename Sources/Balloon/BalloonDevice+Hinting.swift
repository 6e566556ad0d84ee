public import Migration
import Virtio

extension BalloonDevice: FreePageHinting {
    public var isAvailable: Bool { core.withState { $0.canHint } }

    /// Linux accepts this feature where it was booted with `init_on_free` or `page_poison`.
    public var fillsFreedPages: Bool { core.withState { $0.negotiated.contains(.pagePoison) } }

    /// Opens a command. Where the driver is not ready nobody is asked, and the sink hears at once that the command is over.
    ///
    /// The sink is called under the device's lock, by the hint thread and by whoever ends a command: it must not call the device.
    public func begin(reportingTo sink: any HintSink) -> CommandID {
        core.withState { state in
            if let id = state.sequencer.openID { state.closeCommand(id) }
            state.statistics.commands += 1
            guard state.canHint else {
                state.sequencer.stop()
                let id = state.sequencer.skipID()
                sink.hintsOpened(id)
                sink.hintsStopped(id)
                return id
            }
            let id = state.sequencer.begin()
            state.sink = sink
            state.doneHeard = nil
            state.isIDUnread = true
            state.markOlderChains()
            // Before the guest can see the id: it may answer at once.
            sink.hintsOpened(id)
            state.signals.configurationChanged()
            return id
        }
    }

    public func stop() {
        core.withState { state in
            guard let id = state.sequencer.openID else { return }
            state.sequencer.stop()
            state.closeCommand(id)
            state.signals.configurationChanged()
        }
    }

    public func done(heard: (@Sendable () -> Void)?) {
        core.withState { state in
            if let id = state.sequencer.openID { state.closeCommand(id) }
            state.doneHeard = heard
            guard state.sequencer.state != .done else { return state.answerDone() }
            state.sequencer.done()
            state.isIDUnread = true
            state.signals.configurationChanged()
            state.answerDone()
        }
    }

    public var statistics: HintStatistics { core.withState { $0.statistics } }

    public func resetStatistics() { core.withState { $0.statistics = HintStatistics() } }
}

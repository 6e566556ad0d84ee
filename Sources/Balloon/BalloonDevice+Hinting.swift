public import Migration
import Virtio

extension BalloonDevice: FreePageHinting {
    public var isAvailable: Bool { core.withState { $0.canHint } }

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

    public func done() {
        core.withState { state in
            if let id = state.sequencer.openID { state.closeCommand(id) }
            guard state.sequencer.state != .done else { return }
            state.sequencer.done()
            state.signals.configurationChanged()
        }
    }

    public var statistics: HintStatistics { core.withState { $0.statistics } }

    public func resetStatistics() { core.withState { $0.statistics = HintStatistics() } }
}

/// The guest is paused, what is left is sent, and the destination runs it: how precopy switches over.
///
/// ```
///  pausing -> harvesting -> sendingRest -> awaitingReady -> committing -> awaitingRunning
/// ```
///
/// Up to `awaitingReady` the guest goes on at the source when anything fails, a person cancels, or the budget is spent. From
/// `awaitingRunning` on the destination may run it.
struct StopAndCopy: Hashable, Sendable {
    enum Step: Hashable, Sendable {
        case pausing, harvesting, sendingRest, awaitingReady, committing, awaitingRunning
    }

    var step = Step.pausing
    /// When the pause was asked for: the downtime is counted from here.
    let start: ContinuousClock.Instant
    /// Whether the guest ran until it was paused; else a person had paused it, and it stays so.
    var guestRan: Bool
    /// Whether the timeout paused the guest, with whatever was pending then.
    let isRestUnbounded: Bool
    var budget: PauseBudget

    init(_ parameters: MigrationParameters, guestRuns: Bool, isRestUnbounded: Bool, now: ContinuousClock.Instant) {
        start = now
        guestRan = guestRuns
        self.isRestUnbounded = isRestUnbounded
        budget = PauseBudget(downtimeLimit: parameters.downtimeLimit, least: parameters.leastPauseBudget, start: now)
    }

    /// The destination was told, or is about to be told, to run the guest.
    var isCommitting: Bool { step == .committing || step == .awaitingRunning }

    /// See `SourceSession.pauseDeadline`.
    var deadline: ContinuousClock.Instant? { guestRan && !isCommitting ? budget.end : nil }
}

/// How precopy switches over: the guest is paused, the rest is sent, and the destination runs the guest.
///
/// ```
///  pausing -> harvesting -> sendingRest -> awaitingReady -> committing -> awaitingRunning
/// ```
///
/// Up to `awaitingReady` the guest resumes at the source if anything fails, a person cancels, or the budget is spent. From
/// `awaitingRunning` on, the destination may run it.
struct StopAndCopy: Hashable, Sendable {
    enum Step: Hashable, Sendable {
        case pausing, harvesting, sendingRest, awaitingReady, committing, awaitingRunning
    }

    var step = Step.pausing
    /// When the pause was requested. The downtime counts from here.
    let start: ContinuousClock.Instant
    /// Whether the guest ran until this switch-over paused it. Otherwise a person had paused it, and it stays paused.
    var guestRan: Bool
    /// Whether the timeout paused the guest, so that the rest may be of any size.
    let isRestUnbounded: Bool
    var budget: PauseBudget

    init(_ parameters: MigrationParameters, guestRuns: Bool, isRestUnbounded: Bool, now: ContinuousClock.Instant) {
        start = now
        guestRan = guestRuns
        self.isRestUnbounded = isRestUnbounded
        budget = PauseBudget(downtimeLimit: parameters.downtimeLimit, least: parameters.leastPauseBudget, start: now)
    }

    /// Whether the destination was told, or is about to be told, to run the guest.
    var isCommitting: Bool { step == .committing || step == .awaitingRunning }

    /// See `SourceSession.pauseDeadline`.
    var deadline: ContinuousClock.Instant? { guestRan && !isCommitting ? budget.end : nil }
}

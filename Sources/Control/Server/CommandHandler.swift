/// Carries out the commands that arrive at a control socket.
public protocol CommandHandler: Sendable {
    /// Carries out a command and returns its answer; `[:]` if there is nothing to report.
    ///
    /// The commands of one client come one after the other; those of different clients may come at the same time. Each call runs on a
    /// thread of the server and may block it for seconds. A handler isolated to an actor would lose that.
    func handle(_ command: Command) async throws(QMPError) -> JSONValue
}

/// What a control socket is put before.
public protocol CommandHandler: Sendable {
    /// Carries out a command and gives its answer, `[:]` where there is nothing to say.
    ///
    /// Each client's commands come one after the other, different clients' at the same time. It runs on a thread of the server's own and
    /// may block it for seconds; an actor's isolation would give that up.
    func handle(_ command: Command) async throws(QMPError) -> JSONValue
}

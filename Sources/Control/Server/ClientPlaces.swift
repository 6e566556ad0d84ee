import AerostatHost

/// Who is connected, in the order of arrival, and what each may do.
///
/// The first eight may do everything. Those that come later may do what is done at once, so that a person can always ask, cancel and quit;
/// of these there are eight too, and one more takes the place of the one that has been quiet the longest. So the commands that may keep a
/// thread for long are bounded, and the memory that connections take.
struct ClientPlaces {
    /// Clients that may do everything. More than anybody has; each may keep a thread for as long as its command takes.
    static let fullCount = 8
    /// Clients that may do what is done at once.
    static let briefCount = 8

    struct Client {
        let session: ControlSession
        let task: Task<Void, Never>
        /// Sent away, and not yet gone.
        var isLeaving = false
    }

    /// What becomes of one who arrives.
    enum Admission {
        case free
        case inPlaceOf(ControlSession)
        /// All later ones have commands under way.
        case refused
    }

    private(set) var clients: [Client] = []

    private var present: [Client] { clients.filter { !$0.isLeaving } }

    func admission() -> Admission {
        let later = present.dropFirst(Self.fullCount)
        guard later.count >= Self.briefCount else { return .free }
        let quiet = later.compactMap { client in client.session.quietSince.map { (session: client.session, since: $0) } }
        return quiet.min { $0.since < $1.since }.map { .inPlaceOf($0.session) } ?? .refused
    }

    /// Whether it is one of the first eight that are here now.
    func mayDoEverything(_ session: ControlSession) -> Bool { present.prefix(Self.fullCount).contains { $0.session === session } }

    mutating func add(_ client: Client) { clients.append(client) }

    mutating func remove(_ session: ControlSession) { clients.removeAll { $0.session === session } }

    /// It counts no longer, and leaves as soon as it can.
    /// - Returns: the one to send away.
    mutating func dismiss(_ session: ControlSession) -> Client? {
        guard let index = clients.firstIndex(where: { $0.session === session }) else { return nil }
        clients[index].isLeaving = true
        return clients[index]
    }
}

import AerostatHost

/// Which clients are connected, in order of arrival, and what each may do.
///
/// The first eight may do everything. Later ones may use only commands that are done at once, so that a person can always ask, cancel and
/// quit. There are at most eight of these too: one more takes the place of the one that has been quiet for longest. This bounds the
/// commands that may hold a thread for long, and the memory of connections.
struct ClientPlaces {
    /// How many clients may do everything: more than anybody has. Each may hold a thread for as long as its command takes.
    static let fullCount = 8
    /// How many more clients may use commands that are done at once.
    static let briefCount = 8

    struct Client {
        let session: ControlSession
        let task: Task<Void, Never>
        /// It was sent away, but is still connected.
        var isLeaving = false
    }

    /// What happens to a client that arrives.
    enum Admission {
        case free
        case inPlaceOf(ControlSession)
        /// All later clients have commands under way.
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

    /// Whether it is one of the first eight clients that are connected now.
    func mayDoEverything(_ session: ControlSession) -> Bool { present.prefix(Self.fullCount).contains { $0.session === session } }

    mutating func add(_ client: Client) { clients.append(client) }

    mutating func remove(_ session: ControlSession) { clients.removeAll { $0.session === session } }

    /// Stops counting the client, which leaves as soon as it can.
    /// - Returns: the client to send away.
    mutating func dismiss(_ session: ControlSession) -> Client? {
        guard let index = clients.firstIndex(where: { $0.session === session }) else { return nil }
        clients[index].isLeaving = true
        return clients[index]
    }
}

import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc

/// A monitor that can move its guest to another process:
///
///     monitor receive unix:/tmp/guest     waits for a guest, looks at every page of it, and lets it run on
///     monitor send unix:/tmp/guest        starts a guest, and moves it away while it runs
@main
enum Main {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        switch (arguments.first, arguments.last) {
        case ("send"?, let place?) where arguments.count == 2: try send(to: try MigrationURI(place))
        case ("receive"?, let place?) where arguments.count == 2: try receive(at: try MigrationURI(place))
        default: fail("use: monitor send URI, or monitor receive URI, where the URI is unix:PATH or tcp:HOST:PORT")
        }
    }

    static func send(to uri: MigrationURI) throws {
        let guest = try PatternGuest()
        guest.resume()
        guest.wait(rounds: 1)
        // The guest's owner answers the engine here. Nobody but the engine pauses this guest, so there is little to say.
        let owner = SourceMigration.Owner(
            statusChanged: { print("source: \($0.rawValue)") },
            roundBegan: { print("source: round \($0)") },
            isGuestRunning: { true },
            handOver: { true }
        )
        let migration = try SourceMigration(guest: guest, parameters: MigrationParameters(), owner: owner)
        try migration.start(to: uri)
        switch migration.wait() {
        case .completed: print("source: the guest has left; \(migration.report.ram.transferred) bytes were sent")
        case .failed(let failure): fail("source: the guest is still here, and runs: \(failure)")
        case .cancelled(let reason): fail("source: the guest is still here, and runs: \(reason)")
        case .unknown(let reason): fail("source: the guest is paused here, and may run there: \(reason)")
        }
    }

    static func receive(at uri: MigrationURI) throws {
        let listener = try IncomingListener(uri)
        print("destination: waits at \(listener.uri)")
        var made: PatternGuest?
        // Paused at first, so that each page can be looked at as it came.
        let outcome = try listener.receive(
            shape: try RegionTable(PatternGuest.regions),
            doorbell: try Doorbell(),
            startsGuest: false,
            arrived: { _, _ in }
        ) { _, requirements throws(GuestError) in
            guard requirements == PatternGuest.requirements else { throw GuestError("this monitor has no machine for such a guest") }
            do {
                let guest = try PatternGuest()
                made = guest
                return guest
            } catch {
                throw GuestError("\(error)")
            }
        }
        guard case .running? = outcome, let guest = made else { fail("destination: no guest came: \(outcome.map { "\($0)" } ?? "quit")") }
        try look(at: guest, "as it came")
        guest.resume()
        guest.wait(rounds: 2)
        guest.pause()
        try look(at: guest, "after it ran on")
    }

    static func look(at guest: PatternGuest, _ when: String) throws {
        let found = try guest.check()
        guard found.wrong.isEmpty else { fail("destination: \(found.wrong.count) of \(found.pages) pages are wrong \(when)") }
        print("destination: all \(found.pages) pages are right \(when), in round \(found.round)")
    }

    static func fail(_ words: String) -> Never {
        print(words)
        exit(1)
    }
}

import AerostatMachineHost
import AerostatMigration

/// What comes in, and what must come of it in each state. A block for each input: its name, then lines `states -> outcome`, of which the
/// first that names a state holds (`*` stands for anything). The outcome is a refusal, `impossible` (a mistake of the host), or the new
/// state with what is done, in order.
enum LifecycleTable {
    enum Input: Sendable {
        case command(Lifecycle.Command)
        case occurrence(Lifecycle.Occurrence)
    }

    static let inputs: [(name: String, input: Input)] = [
        ("stop", .command(.stop)), ("cont", .command(.resume(force: false))), ("cont --force", .command(.resume(force: true))),
        ("migrate", .command(.migrate(to: .process))), ("cancel", .command(.cancelMigration)), ("look", .command(.look)),
        ("change", .command(.change(advice: "wait"))), ("check", .command(.check)), ("powerdown", .command(.powerDown(hasButton: true))),
        ("powerdown without a button", .command(.powerDown(hasButton: false))),
        ("made", .occurrence(.made)), ("started", .occurrence(.started)), ("shell made", .occurrence(.shellMade)),
        ("arrived running", .occurrence(.arrived(runs: true, since: NamedState.instant))),
        ("arrived paused", .occurrence(.arrived(runs: false, since: NamedState.instant))),
        ("arrival settled", .occurrence(.arrivalSettled)),
        ("restored running", .occurrence(.restored(runs: true))), ("restored paused", .occurrence(.restored(runs: false))),
        ("status active", .occurrence(.migrating(.active))), ("round 2", .occurrence(.roundBegan(2))),
        ("handed over", .occurrence(.handedOver)),
        ("completed", .occurrence(.migrationEnded(.completed, guestRuns: false))),
        ("unknown", .occurrence(.migrationEnded(.unknown, guestRuns: false))),
        ("failed, runs", .occurrence(.migrationEnded(.failed, guestRuns: true))),
        ("cancelled, stands", .occurrence(.migrationEnded(.cancelled, guestRuns: false))),
        ("not over", .occurrence(.migrationEnded(.active, guestRuns: true))),
        ("did not begin", .occurrence(.migrationDidNotBegin)),
        ("guest powered off", .occurrence(.guestEnded(NamedState.ending))),
        ("asked to end", .occurrence(.processEnds(.asked(reason: "host-signal")))), ("failure", .occurrence(.processEnds(.failed))),
    ]

    static let text = """
        stop
          creation -> refused: there is no guest here yet: it is being made
          migration, arrival -> refused: there is no guest here yet: an incoming migration is awaited
          image -> refused: there is no guest here yet: its image is being read
          *+over* -> refused: the guest is paused already: a migration is switching it over
          running -> paused: pause; STOP
          running+untold -> paused: pause; RESUME of then; STOP
          running+moving -> paused+moving: pause; STOP
          running+moving+dying -> paused+moving+dying: pause; STOP
          * -> same

        cont
          creation -> refused: there is no guest here yet: it is being made
          migration, arrival -> refused: there is no guest here yet: an incoming migration is awaited
          image -> refused: there is no guest here yet: its image is being read
          *+over* -> refused: a migration is switching the guest over; it decides where the guest runs
          paused+unknown -> refused: the destination may be running this guest: the link was lost after commit. \
        Make sure that it does not run there, then resume with force
          fresh, paused -> running: resume; RESUME
          fresh+moving, paused+moving -> running+moving: resume; RESUME
          fresh+moving+dying, paused+moving+dying -> running+moving+dying: resume; RESUME
          running* -> same
          away -> refused: the guest has gone: the destination said that it runs there
          in-image -> refused: the guest is in its image /srv/image now. Make sure that nobody starts it from there, \
        then 'aerostat resume --force'
          powered-off, was-reset, crashed -> refused: the guest has ended, and is kept only to be looked at; start it anew

        cont --force
          creation -> refused: there is no guest here yet: it is being made
          migration, arrival -> refused: there is no guest here yet: an incoming migration is awaited
          image -> refused: there is no guest here yet: its image is being read
          *+over* -> refused: a migration is switching the guest over; it decides where the guest runs
          fresh, paused, paused+unknown, in-image -> running: resume; RESUME
          fresh+moving, paused+moving -> running+moving: resume; RESUME
          fresh+moving+dying, paused+moving+dying -> running+moving+dying: resume; RESUME
          running* -> same
          away -> refused: the guest has gone: the destination said that it runs there
          powered-off, was-reset, crashed -> refused: the guest has ended, and is kept only to be looked at; start it anew

        migrate
          creation -> refused: there is no guest here yet: it is being made
          migration -> refused: there is no guest here yet: an incoming migration is awaited
          arrival -> refused: the guest is inmigrate
          image -> refused: there is no guest here yet: its image is being read
          *+moving*, *+over* -> refused: There's a migration process in progress
          paused+unknown -> refused: the destination of the last migration may be running this guest; resume it with force first
          fresh -> fresh+moving: make migration; MIGRATION setup
          paused -> paused+moving: make migration; MIGRATION setup
          running -> running+moving: make migration; MIGRATION setup
          running+untold -> running+moving: make migration; RESUME of then; MIGRATION setup
          away -> refused: the guest has gone to another process already
          in-image -> refused: the guest has gone to its image /srv/image already
          powered-off, was-reset, crashed -> refused: the guest has ended: there is nothing to migrate

        cancel
          *+moving*, *+over* -> same: cancel
          * -> same

        look
          creation -> refused: there is no guest here yet: it is being made
          migration -> refused: there is no guest here yet: an incoming migration is awaited
          image -> refused: there is no guest here yet: its image is being read
          * -> same

        change
          creation -> refused: there is no guest here yet: it is being made
          migration -> refused: there is no guest here yet: an incoming migration is awaited
          arrival -> refused: the guest is still arriving
          image -> refused: there is no guest here yet: its image is being read
          *+over* -> refused: a migration is switching the guest over; wait
          away -> refused: the guest has gone to another process already
          in-image -> refused: the guest has gone to its image /srv/image already
          powered-off, was-reset, crashed -> refused: the guest has ended, and is kept only to be looked at; start it anew
          * -> same

        check
          creation -> refused: there is no guest here yet: it is being made
          migration -> refused: there is no guest here yet: an incoming migration is awaited
          arrival -> refused: the guest is still arriving
          image -> refused: there is no guest here yet: its image is being read
          *+over* -> refused: a migration is switching the guest over; check it when that is done
          * -> same

        powerdown
          creation -> refused: there is no guest here yet: it is being made
          migration -> refused: there is no guest here yet: an incoming migration is awaited
          image -> refused: there is no guest here yet: its image is being read
          *+over* -> refused: a migration is switching the guest over; press it where the guest is then
          * -> same: press; POWERDOWN

        powerdown without a button
          creation -> refused: there is no guest here yet: it is being made
          migration -> refused: there is no guest here yet: an incoming migration is awaited
          image -> refused: there is no guest here yet: its image is being read
          * -> refused: the model guest has no power button; quit ends it

        made
          creation -> fresh
          * -> impossible

        started
          creation, migration, arrival, image -> impossible
          fresh -> running: resume; RESUME
          fresh+moving -> running+moving: resume; RESUME
          fresh+moving+dying -> running+moving+dying: resume; RESUME
          * -> same

        shell made
          migration -> arrival
          * -> impossible

        arrived running
          arrival -> running+untold
          powered-off, was-reset, crashed -> same
          * -> impossible

        arrived paused
          arrival -> paused
          powered-off, was-reset, crashed -> same
          * -> impossible

        arrival settled
          running+untold -> running: RESUME of then
          * -> same

        restored running
          image -> running: resume; RESUME
          * -> impossible

        restored paused
          image -> paused
          * -> impossible

        status active
          *+moving*, *+over* -> same: MIGRATION active
          * -> impossible

        round 2
          *+moving*, *+over* -> same: MIGRATION_PASS 2
          * -> impossible

        handed over
          fresh+moving, paused+moving -> paused+over
          fresh+moving+dying, paused+moving+dying -> paused+over+dying
          running+moving -> running+over: STOP
          running+moving+dying -> running+over+dying: STOP
          * -> impossible

        completed
          *+dying -> powered-off: MIGRATION completed; log; SHUTDOWN guest-shutdown; end by guest after grace
          *+moving, *+over -> away: MIGRATION completed
          * -> impossible

        unknown
          *+dying -> powered-off: MIGRATION outcome-unknown; log; SHUTDOWN guest-shutdown; end by guest after grace
          *+moving, *+over -> paused+unknown: MIGRATION outcome-unknown
          * -> impossible

        failed, runs
          *+dying -> powered-off: MIGRATION failed; log; SHUTDOWN guest-shutdown; end by guest after grace
          fresh+moving -> fresh: MIGRATION failed
          paused+moving -> paused: MIGRATION failed
          running+moving -> running: MIGRATION failed
          *+over -> running: RESUME; MIGRATION failed
          * -> impossible

        cancelled, stands
          *+dying -> powered-off: MIGRATION cancelled; log; SHUTDOWN guest-shutdown; end by guest after grace
          fresh+moving -> fresh: MIGRATION cancelled
          paused+moving -> paused: MIGRATION cancelled
          running+moving -> running: MIGRATION cancelled
          *+over -> paused: MIGRATION cancelled
          * -> impossible

        not over
          * -> impossible

        did not begin
          *+moving+dying -> powered-off: MIGRATION failed; log; SHUTDOWN guest-shutdown; end by guest after grace
          fresh+moving -> fresh: MIGRATION failed
          paused+moving -> paused: MIGRATION failed
          running+moving -> running: MIGRATION failed
          * -> impossible

        guest powered off
          arrival -> powered-off: RESUME; log; SHUTDOWN guest-shutdown; end by guest
          running+untold -> powered-off: RESUME of then; log; SHUTDOWN guest-shutdown; end by guest
          *+dying, powered-off, was-reset, crashed -> same
          fresh+moving -> fresh+moving+dying: fail migration
          paused+moving -> paused+moving+dying: fail migration
          running+moving -> running+moving+dying: fail migration
          paused+over -> paused+over+dying: fail migration
          running+over -> running+over+dying: fail migration
          * -> powered-off: log; SHUTDOWN guest-shutdown; end by guest

        asked to end
          running+untold -> running: RESUME of then; SHUTDOWN host-signal; end by host-signal
          * -> same: SHUTDOWN host-signal; end by host-signal

        failure
          running+untold -> running: RESUME of then; end by failure
          * -> same: end by failure
        """
}

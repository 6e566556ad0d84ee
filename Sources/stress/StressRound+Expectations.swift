import AerostatMigration
import AerostatQMP
import CommandSupport
import Foundation

// What must be true after a migration, judged by the processes' answers, their memory, and the injuries.
extension StressRound {
    /// The guest runs, its check of itself finds nothing wrong, and no memory is held for hints any more.
    func expectWhole(_ guest: StressGuest) async throws {
        try await guest.expectPulse()
        let check = try await eventually("the balloon driver at \(guest.child.name) gives back what it holds", check: .givenBack) {
            let check = try await guest.check()
            return check.pagesHeld == 0 || !check.isClean ? check : nil
        }
        tally.pagesChecked += check.pagesChecked
        if !check.isClean { throw StressFind(.guest, "the guest at \(guest.child.name) finds \(check)") }
    }

    /// Counts an ending, and refuses an impossible one.
    func note(_ ending: StressAttempt.Ending, _ hop: StressHop) throws {
        for injury in ending.fired { tally.injuries[injury.kind, default: 0] += 1 }
        tell("  exit \(ending.code), \(ending.report?.status.rawValue ?? "no report"); done: \(ending.fired)")
        guard let status = ending.report?.status else {
            // If the source's process has ended, the command has no report.
            if ending.code == 1, ending.did(\.endsSource) { return tally.failed += 1 }
            throw StressFind(.answers, "aerostat migrate ended with \(ending.code) and without a report: \(ending.text)")
        }
        if ending.code == 2 { throw StressFind(.verification, "verification found a difference: \(ending.text)") }
        if ending.code != status.exitCode {
            throw StressFind(.answers, "aerostat migrate ended with \(ending.code) and says \(status.rawValue)")
        }
        if status == .failed, !ending.did(\.mayFail) {
            throw StressFind(.answers, "a migration failed that nothing was done to: \(ending.text)")
        }
        if status == .cancelled, !ending.did(\.mayCancel), !hop.mayTimeOut {
            throw StressFind(.answers, "cancelled by nobody: \(ending.text)")
        }
        if status == .unknown, !ending.did(\.mayFail) { throw StressFind(.answers, "an unknown outcome without a cause: \(ending.text)") }
        tally.add(status, toImage: hop.route == .image)
        tally.pagesSkipped += ending.report?.freePageHints.skippedPages ?? 0
    }

    /// The guest must be in one of the two processes.
    func expectAgreement(
        _ ending: StressAttempt.Ending,
        _ source: StressGuest,
        _ here: RunState?,
        _ destination: StressGuest,
        _ there: RunState?
    ) async throws {
        try await expectSource(ending, source, here)
        let arrived = there == .running || there == .paused || there == .preLaunch
        if arrived, here == .running { throw StressFind(.owner, "source and destination both have the guest") }
        if there == nil { try expectEnd(of: destination, ending.did(.killDestination), ending.did(.terminateDestination)) }
        switch ending.code {
        case 0:
            if !arrived, !ending.did(\.endsDestination) {
                throw StressFind(.answers, "the migration completed, and the guest is not there")
            }
        case 1:
            if arrived { throw StressFind(.owner, "the migration did not complete, and the guest is at the destination") }
        default: break
        }
        if arrived {
            // This line is written after the message to the source, so that the log adds nothing to the downtime.
            _ = try await eventually("the destination's log says that the guest has arrived", check: .answers) {
                destination.child.log.contains("the guest has arrived") || destination.child.exitCode != nil ? true : nil
            }
        }
        let log = destination.child.log
        if arrived != log.contains("the guest has arrived"), there != nil {
            throw StressFind(.answers, "the destination's log says otherwise: \(log)")
        }
        if !arrived, there == nil, destination.child.exitCode == 1, !log.contains("the guest is not here") {
            throw StressFind(.answers, "the destination ended and does not say why: \(log)")
        }
    }

    /// The guest is in its process, or in its image.
    func expectAgreement(_ ending: StressAttempt.Ending, _ source: StressGuest, _ here: RunState?, imageIsThere: Bool) async throws {
        try await expectSource(ending, source, here)
        if ending.code == 0, !imageIsThere { throw StressFind(.answers, "the image was completed, and is not there") }
        if ending.code == 1, imageIsThere, here != nil {
            throw StressFind(.answers, "the migration did not complete, and its image is there")
        }
        if ending.code == 3, here != nil { throw StressFind(.answers, "the outcome of an image is unknown to the process that wrote it") }
    }

    private func expectSource(_ ending: StressAttempt.Ending, _ source: StressGuest, _ here: RunState?) async throws {
        guard let here else { return try expectEnd(of: source, ending.did(.killSource), ending.did(.quitSource, .terminateSource)) }
        let (isRight, words) =
            switch ending.code {
            case 0: (here == .postMigrate, "the guest has gone to")
            case 1: (here == .running || here == .paused, "the guest is still here")
            default: (here == .paused, "may run at")
            }
        if !isRight { throw StressFind(.answers, "after exit \(ending.code) the source is \(here.rawValue)") }
        // A thread of its own writes the log, and has no processor where the host is busy.
        _ = try await eventually("after exit \(ending.code) the log of \(source.child.name) says '\(words)'", check: .answers) {
            source.child.log.contains(words) ? true : nil
        }
        let mayPause = ending.did(.pause, .pauseAndResume)
        if ending.code == 1, here == .paused, !mayPause { throw StressFind(.answers, "a migration that failed left the guest paused") }
    }

    func expectEnd(of guest: StressGuest, _ wasKilled: Bool, _ wasAsked: Bool) throws {
        let code = guest.child.exitCode ?? 0
        let isSource = guest.incomingIsOver
        // A destination that received no guest ends with 1.
        let isRight = code == -SIGKILL && wasKilled || code == 0 && wasAsked || code == 1 && !isSource
        if !isRight { throw StressFind(.ending, "\(guest.child.name) ended with \(code): \(guest.child.log)") }
    }

    /// The source's later report must agree with the command's.
    func expectReport(_ report: MigrationReport?, _ ending: StressAttempt.Ending) throws {
        guard let report, let told = ending.report else { return }
        if report.status != told.status {
            throw StressFind(.answers, "aerostat migrate said \(told.status.rawValue), the source now says \(report.status.rawValue)")
        }
        if report.status == .completed, let verify = report.verify, verify.status != .passed {
            throw StressFind(.verification, "a migration completed although its verification failed")
        }
    }

    /// Compares both memories. Neither process may run the guest meanwhile.
    func compare(_ source: StressGuest, _ destination: StressGuest, _ hop: StressHop) async throws {
        let (left, right) = ("\(folder)/source.ram", "\(folder)/destination.ram")
        try await source.dump(to: left)
        try await destination.dump(to: right)
        let comparison = try DumpComparison(left, right, of: plan.guest.regions, leavingOutFree: hop.usesHints)
        tally.pagesCompared += comparison.pagesCompared
        tell("  compared \(comparison.pagesCompared) pages, \(comparison.pagesFree) free ones left out")
        if comparison.differenceCount > 0 {
            throw StressFind(.dumps, "\(comparison.differenceCount) pages differ between both dumps: \(comparison.differences) ...")
        }
        for path in [left, right] { try FileManager.default.removeItem(atPath: path) }
    }
}

extension StressGuest {
    /// Whether this process has had the guest.
    fileprivate var incomingIsOver: Bool { incoming == nil || child.log.contains("the guest has arrived") }
}

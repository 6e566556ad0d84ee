import AerostatHost
import AerostatQMP
import Foundation

// What must be true of a guest's balloon.
extension StressRound {
    private static let pageBytes = 4096

    /// What was asked of the balloon came along.
    func expectWishes(_ guest: StressGuest, _ wanted: StressWanted) async throws {
        let info = try await guest.balloon()
        if let kept = wanted.keptBytes {
            let target = min((kept + Self.pageBytes - 1) / Self.pageBytes * Self.pageBytes, info.maximum)
            if info.target != target {
                throw StressFind(.balloon, "\(guest.child.name) wants \(info.target) bytes to be kept, and was asked for \(target)")
            }
        }
        if let seconds = wanted.pollingSeconds {
            let answer = try await guest.property(BalloonObject.pollingInterval)
            if answer != .integer(seconds) {
                throw StressFind(.balloon, "\(guest.child.name) asks for statistics every \(answer) s, and was told \(seconds)")
            }
        }
    }

    /// The balloon reaches its size or says why not, and the guest's account of it is the host's.
    func expectBalloon(_ guest: StressGuest, _ wanted: StressWanted) async throws {
        if wanted.keptBytes != nil {
            let isReached = try await eventually("the balloon at \(guest.child.name) reaches its size or says why not", check: .balloon) {
                try await self.balloonStands(guest)
            }
            if isReached { tally.balloonsReached += 1 } else { tally.balloonsExplained += 1 }
        }
        guard plan.guest.hasSteadyBalloon, let seconds = wanted.pollingSeconds, seconds > 0 else { return }
        let now = Int(WallClock.milliseconds() / 1000)
        try await eventually("the guest at \(guest.child.name) gives statistics every \(seconds) s", check: .balloon) {
            guard let reply = GuestStatisticsReply(json: try await guest.property(BalloonObject.statistics)) else {
                throw StressFind(.balloon, "\(guest.child.name) says of statistics what cannot be read")
            }
            return reply.lastUpdate > now ? () : nil
        }
        tally.statisticsSeen += 1
    }

    /// - Returns: whether the size is reached; `nil` where the guest is still at it.
    private func balloonStands(_ guest: StressGuest) async throws -> Bool? {
        let before = try await guest.balloon()
        // A driver that comes and goes, or lies, is at work for ever.
        if before.waitsFor != nil, !plan.guest.hasSteadyBalloon { return false }
        let check = try await guest.check()
        if !check.isClean { throw StressFind(.guest, "the guest at \(guest.child.name) finds \(check)") }
        let behind = try await guest.balloon()
        guard before.ballooned == behind.ballooned, before.target == behind.target else { return nil }
        if let pages = check.pagesBallooned, plan.guest.hasSteadyBalloon, pages != behind.ballooned / Self.pageBytes {
            // What is on its way is in the balloon already, or still.
            return nil
        }
        tally.pagesBallooned = max(tally.pagesBallooned, check.pagesBallooned ?? 0)
        guard let reason = behind.waitsFor else { return true }
        // An explanation must be true: a guest that has memory to give gives it.
        let reserve = Int(Double(4 * behind.maximum / Self.pageBytes).squareRoot())
        let isEmpty = check.pagesFree <= reserve + 1024
        return reason.contains("finds no free memory") && isEmpty ? false : nil
    }
}

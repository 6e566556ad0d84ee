public import AerostatBalloon
import AerostatGuestMemory
import AerostatHost
public import AerostatMachineHost
import AerostatMigration
public import AerostatQMP
import Dispatch
import Synchronization

/// A guest whose machine may have a balloon.
public protocol BalloonHolder: LocalGuest {
    /// `nil` if its machine was made without one.
    var balloonDevice: BalloonDevice? { get }
}

/// What a balloon adds to a machine's host: commands, an object with properties, and the event BALLOON_CHANGE.
public final class BalloonCapability: Sendable {
    private let host: MachineHost
    private let changes = Mutex(EventThrottle<Int>(interval: .seconds(1)))
    /// When a client of this process last set the target.
    private let lastAsked = Mutex<MonotonicClock.Instant?>(nil)
    private static let start = MonotonicClock.now()

    /// Call this before the host has its guest.
    public init(_ host: MachineHost) {
        self.host = host
        host.prepareGuest { [weak self] guest in self?.watch(guest) }
    }

    /// `balloon` and `query-balloon`.
    public var commands: CommandSet {
        var set = CommandSet()
        set.perform(.balloon) { [self] (arguments: BalloonArguments) throws(QMPError) in
            try host.changeMachine(orElse: "ask again where the guest is then") { (guest) throws(QMPError) in
                try Self.device(guest).setTarget(guestKeeps: UInt64(arguments.keptBytes))
                return []
            }
            lastAsked.withLock { $0 = MonotonicClock.now() }
        }
        set.answer(.queryBalloon) { [self] () throws(QMPError) in try info().json }
        return set
    }

    /// The balloon as an object, with the properties that QEMU's users read and set for guest statistics.
    public var object: ObjectModel.Object {
        ObjectModel.Object(
            type: "virtio-balloon-device",
            properties: [
                BalloonObject.statistics: .init(type: "guest statistics") { [self] () throws(QMPError) in
                    GuestStatisticsReply(try device().guestStatistics).json
                },
                BalloonObject.splitHugePages: .init(type: "int") { [self] () throws(QMPError) in .integer(try device().splitHugePages) },
                BalloonObject.pollingInterval: .init(
                    type: "int",
                    get: { [self] () throws(QMPError) in .integer(Int(try device().pollingIntervalSeconds)) },
                    set: { [self] (value) throws(QMPError) in try setPolling(value) }
                ),
            ]
        )
    }

    private func setPolling(_ value: JSONValue) throws(QMPError) {
        guard let seconds = value.integer else {
            throw QMPError("Invalid parameter type for '\(BalloonObject.pollingInterval)', expected: integer")
        }
        guard seconds >= 0 else { throw QMPError("timer value must be greater than zero") }
        guard let seconds = UInt32(exactly: seconds) else { throw QMPError("timer value is too big") }
        try host.changeMachine(orElse: "ask again where the guest is then") { (guest) throws(QMPError) in
            try Self.device(guest).setPollingInterval(seconds: seconds)
            return []
        }
    }

    // MARK: The balloon

    private func device() throws(QMPError) -> BalloonDevice { try Self.device(try host.presentGuest()) }

    private static func device(_ guest: any LocalGuest) throws(QMPError) -> BalloonDevice {
        guard let device = (guest as? any BalloonHolder)?.balloonDevice else {
            throw QMPError(.deviceNotActive, "No balloon device has been activated")
        }
        return device
    }

    private func info() throws(QMPError) -> BalloonInfo {
        let guest = try host.presentGuest()
        let status = try Self.device(guest).status
        let maximum = guest.memory.presentPageCount
        func bytes(_ pages: Int) -> Int { pages << GuestPage.shift }
        return BalloonInfo(
            actual: bytes(max(0, maximum - Int(status.actualPages))),
            target: bytes(max(0, maximum - Int(status.targetPages))),
            maximum: bytes(maximum),
            ballooned: bytes(Int(status.actualPages)),
            givenBack: bytes(status.counters.givenBackPages),
            cleared: bytes(status.counters.clearedPages),
            isDriverReady: status.isDriverReady,
            inhibited: inhibited(status),
            waitsFor: waits(status),
            counters: status.counters.byName
        )
    }

    /// Why memory is not given back, or was not.
    private func inhibited(_ status: BalloonStatus) -> String? {
        var reasons = status.inhibitions
        if let error = status.lastError {
            reasons.append("the kernel refused \(status.counters.failedPages) pages, the last with: \(error)")
        }
        return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    }

    /// How long no page must have moved before the guest is reported as stuck.
    private static let patience = Duration.seconds(3)

    /// Why the balloon does not have its target size yet.
    private func waits(_ status: BalloonStatus) -> String? {
        guard status.actualPages != status.targetPages else { return nil }
        guard status.isDriverReady else { return "no balloon driver is at work in the guest" }
        guard host.runState == .running else { return "the guest does not run" }
        let now = MonotonicClock.now()
        let lastSigns = [status.lastMovement, lastAsked.withLock { $0 }].compactMap { $0 }
        if lastSigns.contains(where: { $0.duration(to: now) < Self.patience }) { return "the guest is working on it" }
        return status.actualPages < status.targetPages
            ? "the guest finds no free memory that it could give; its driver goes on trying"
            : "the guest's driver does not take its memory back"
    }

    // MARK: BALLOON_CHANGE

    private func watch(_ guest: any LocalGuest) {
        guard let device = (guest as? any BalloonHolder)?.balloonDevice else { return }
        let pageCount = guest.memory.presentPageCount
        // This runs on a vCPU's thread, which must not block.
        device.observeActual { [weak self, weak device] in
            guard let self, let device else { return }
            // The driver writes what it likes.
            self.offer(max(0, pageCount - Int(device.status.actualPages)) << GuestPage.shift)
        }
    }

    private func offer(_ actual: Int) {
        switch changes.withLock({ $0.offer(actual, now: Self.now) }) {
        case .tell: tell(actual)
        case .wait: break
        case .callBack(let time):
            DispatchQueue.global().asyncAfter(deadline: .now() + (time - Self.now) / .seconds(1)) { [weak self] in
                guard let self, let value = changes.withLock({ $0.take(now: Self.now) }) else { return }
                tell(value)
            }
        }
    }

    private func tell(_ actual: Int) { host.announce(.other("BALLOON_CHANGE", data: ["actual": .integer(actual)])) }

    private static var now: Duration { start.duration(to: MonotonicClock.now()) }
}

extension GuestStatisticsReply {
    package init(_ statistics: GuestStatistics) {
        var figures: [Figure: UInt64] = [:]
        for (figure, value) in zip(Figure.allCases, GuestStatistics.Value.allCases) { figures[figure] = statistics[value] }
        self.init(figures: figures, lastUpdate: Int(clamping: (statistics.lastUpdateMilliseconds ?? 0) / 1000))
    }
}

extension BalloonCounters {
    /// All counters, under the names of `query-balloon`.
    package var named: [(name: String, count: Int)] {
        [
            ("inflate-buffers", inflateBuffers), ("deflate-buffers", deflateBuffers), ("statistics-buffers", statisticsBuffers),
            ("report-buffers", reportBuffers), ("inflated-pages", inflatedPages), ("deflated-pages", deflatedPages),
            ("reported-pages", reportedPages), ("given-back-pages", givenBackPages), ("cleared-pages", clearedPages),
            ("completed-huge-pages", completedHugePages), ("inhibited-pages", inhibitedPages), ("poisoned-pages", poisonedPages),
            ("failed-pages", failedPages), ("outside-pages", outsidePages), ("absent-pages", absentPages), ("own-pages", ownPages),
            ("repeated-pages", repeatedPages), ("unknown-pages", unknownPages), ("refused-reports", refusedReports),
            ("unknown-tags", unknownTags), ("surplus-statistics-buffers", surplusStatisticsBuffers), ("odd-bytes", oddBytes),
            ("surplus-bytes", surplusBytes), ("unreadable-segments", unreadableSegments), ("wrong-way-segments", wrongWaySegments),
            ("refused-writes", refusedWrites),
        ]
    }

    /// The counters that are not 0.
    var byName: [String: Int] { Dictionary(uniqueKeysWithValues: named.filter { $0.count != 0 }.map { ($0.name, $0.count) }) }
}

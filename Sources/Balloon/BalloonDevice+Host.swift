public import AerostatGuestMemory
package import AerostatHost
import AerostatVirtio

// What the host's people do with the balloon.
extension BalloonDevice {
    /// The pages that are in the balloon, as far as the device has seen them go in: not those that went in before the guest arrived here.
    /// It changes while it is looked at.
    public var ballooned: PageSet { pages }

    /// How the balloon stands.
    public var status: BalloonStatus {
        worker.withState { state in
            BalloonStatus(
                targetPages: state.targetPages,
                actualPages: state.actualPages,
                balloonedPages: state.account.pageCount,
                isDriverReady: state.queues.isActive && state.queues.fault == nil,
                inhibitions: state.account.inhibitions,
                lastMovement: state.account.lastMovement,
                lastError: state.account.lastError,
                counters: state.account.counters
            )
        }
    }

    /// Stretches of 2 MiB of which a part is in the balloon, and a part is not: the host has no huge page there, transparent or not, that
    /// would serve the guest. Looks through all of `ballooned`.
    public var splitHugePages: Int {
        let wordsOfStretch = Mapping.hugePageBytes / GuestPage.size / UInt64.bitWidth
        var count = 0
        var bits = 0
        pages.forEachUsedWord { word in
            if word % wordsOfStretch == 0 { bits = 0 }
            let before = bits
            bits += pages.load(word: word).nonzeroBitCount
            if before == 0, bits > 0 { count += 1 }
            if bits == wordsOfStretch * UInt64.bitWidth { count -= 1 }
        }
        return count
    }

    /// Asks the driver to fill the balloon, or to empty it, until it holds so many pages. It may take its time, and may stay behind.
    ///
    /// The target stays through resets, moves and images, until it is set again.
    /// - Parameter pages: of 4096 bytes. More than the guest has are as many as it has.
    public func setTarget(pages: Int) {
        precondition(pages >= 0, "a negative number of pages")
        let target = UInt32(clamping: min(pages, memory.presentPageCount))
        worker.withState { state in
            guard state.targetPages != target else { return }
            state.targetPages = target
            state.signals.configurationChanged()
        }
    }

    /// The same by what is left to the guest, as people say it.
    /// - Parameter byteCount: what the guest shall keep of its memory, rounded up to whole pages. More than it has empties the balloon.
    public func setTarget(guestKeeps byteCount: UInt64) {
        let present = memory.presentPageCount
        let kept = min(byteCount, UInt64(present) << UInt64(GuestPage.shift))
        setTarget(pages: present - Int((kept + UInt64(GuestPage.size - 1)) >> UInt64(GuestPage.shift)))
    }

    /// Has no memory given back, as long as the result is kept and not cancelled: something in the host holds on to the guest's pages, and
    /// would go on using the old ones. Pages that go into the balloon meanwhile are taken, and cost what they cost.
    ///
    /// On return no memory is being given back.
    /// - Parameter reason: for people, such as "a device has its memory mapped".
    public func inhibit(_ reason: String) -> BalloonInhibition {
        let number = worker.withState { $0.account.inhibit(reason) }
        return BalloonInhibition { [worker] in worker.withState { $0.account.allow(number) } }
    }

    /// Calls `body` whenever the driver has written another `actual` than before; `nil` calls nobody any more.
    ///
    /// It is called on a vCPU's thread, under none of the device's locks, perhaps on several at once: it must not block, and reads
    /// `status` for the value.
    public func observeActual(_ body: (@Sendable () -> Void)?) { worker.withState { $0.actualChanged = body } }

    // MARK: Statistics

    /// What the guest last said about its memory. It stays when the guest says nothing more; `lastUpdateMilliseconds` tells how old it is.
    public var guestStatistics: GuestStatistics { worker.withState { $0.statistics.values } }

    /// Every so many seconds the guest is asked for statistics; 0 where it is not.
    ///
    /// It is asked again when it has answered. One that does not answer costs nothing, and is asked again when it does.
    public var pollingIntervalSeconds: UInt32 { worker.withState { $0.statistics.intervalSeconds } }

    /// Sets `pollingIntervalSeconds`. From 0 to another, the guest is asked at once.
    public func setPollingInterval(seconds: UInt32) {
        worker.withState { $0.statistics.setInterval(seconds, $0.account.clock.now()) }
        worker.doorbell.ring()
    }

    /// Asks the guest for statistics once, as soon as it can be asked.
    public func requestStatistics() {
        worker.withState { $0.statistics.requestOnce($0.account.clock.now()) }
        worker.doorbell.ring()
    }

    /// When the device wants to work although no doorbell rings, for a device without a thread.
    package var wakesAt: MonotonicClock.Instant? { worker.withState { $0.isHoldingStatistics ? $0.statistics.nextRequest : nil } }
}

/// Has a balloon give no memory back, until it is cancelled or released.
public final class BalloonInhibition: Sendable {
    private let end: @Sendable () -> Void

    init(_ end: @escaping @Sendable () -> Void) { self.end = end }

    deinit { end() }

    /// Allows it again, unless others forbid it too.
    public func cancel() { end() }
}

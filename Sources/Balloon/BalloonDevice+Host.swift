public import AerostatGuestMemory
package import AerostatHost
import AerostatVirtio

// The balloon's interface for the host.
extension BalloonDevice {
    /// The pages in the balloon that the device saw go in, so without those that went in before the guest arrived here. The set may change
    /// while it is read.
    public var ballooned: PageSet { pages }

    /// The current state of the balloon.
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

    /// The number of 2 MiB stretches that are partly in the balloon. The host cannot back such a stretch with a huge page, transparent or
    /// not. Reads all of `ballooned`.
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

    /// Asks the driver to inflate or deflate the balloon until it holds this many pages. The driver may be slow, and may never reach the
    /// target.
    ///
    /// The target survives resets, migrations and images until it is set again.
    /// - Parameter pages: the number of 4096-byte pages. If it exceeds the guest's memory, all of the memory is meant.
    public func setTarget(pages: Int) {
        precondition(pages >= 0, "a negative number of pages")
        let target = UInt32(clamping: min(pages, memory.presentPageCount))
        worker.withState { state in
            guard state.targetPages != target else { return }
            state.targetPages = target
            state.signals.configurationChanged()
        }
    }

    /// Sets the target by the memory that the guest keeps.
    /// - Parameter byteCount: how much memory the guest keeps, rounded up to whole pages. More than it has empties the balloon.
    public func setTarget(guestKeeps byteCount: UInt64) {
        let present = memory.presentPageCount
        let kept = min(byteCount, UInt64(present) << UInt64(GuestPage.shift))
        setTarget(pages: present - Int((kept + UInt64(GuestPage.size - 1)) >> UInt64(GuestPage.shift)))
    }

    /// Stops giving memory back until the result is cancelled or released. Use it while something in the host holds references to the
    /// guest's pages and would go on using the old ones. Inflated pages are still accepted meanwhile, but the host does not get their
    /// memory.
    ///
    /// When this returns, no memory is being given back any more.
    /// - Parameter reason: a text for people, such as "a device has its memory mapped".
    public func inhibit(_ reason: String) -> BalloonInhibition {
        let number = worker.withState { $0.account.inhibit(reason) }
        return BalloonInhibition { [worker] in worker.withState { $0.account.allow(number) } }
    }

    /// Calls `body` whenever the driver has written a different `actual`. `nil` removes the observer.
    ///
    /// `body` is called on a vCPU's thread without the device's locks, possibly on several threads at once. It must not block. It reads
    /// the value from `status`.
    public func observeActual(_ body: (@Sendable () -> Void)?) { worker.withState { $0.actualChanged = body } }

    // MARK: Statistics

    /// The guest's last statistics. They stay if the guest sends no more; `lastUpdateMilliseconds` tells their age.
    public var guestStatistics: GuestStatistics { worker.withState { $0.statistics.values } }

    /// How often the guest is asked for statistics, in seconds; 0 if it is not polled.
    ///
    /// The guest is asked again only after it has answered. A guest that does not answer costs nothing.
    public var pollingIntervalSeconds: UInt32 { worker.withState { $0.statistics.intervalSeconds } }

    /// Sets `pollingIntervalSeconds`. A change from 0 to another value asks the guest at once.
    public func setPollingInterval(seconds: UInt32) {
        worker.withState { $0.statistics.setInterval(seconds, $0.account.clock.now()) }
        worker.doorbell.ring()
    }

    /// Asks the guest for statistics once, as soon as it can be asked.
    public func requestStatistics() {
        worker.withState { $0.statistics.requestOnce($0.account.clock.now()) }
        worker.doorbell.ring()
    }

    /// When the device has work to do without a doorbell. A device without a thread needs this.
    package var wakesAt: MonotonicClock.Instant? { worker.withState { $0.isHoldingStatistics ? $0.statistics.nextRequest : nil } }
}

/// Keeps a balloon from giving memory back until it is cancelled or released.
public final class BalloonInhibition: Sendable {
    private let end: @Sendable () -> Void

    init(_ end: @escaping @Sendable () -> Void) { self.end = end }

    deinit { end() }

    /// Ends this inhibition. Memory is given back again once no other inhibition remains.
    public func cancel() { end() }
}

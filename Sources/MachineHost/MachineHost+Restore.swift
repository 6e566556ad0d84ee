import AerostatGuestMemory
import AerostatHost
public import AerostatMigration
import AerostatMigrationIO
import AerostatQMP
import Logging
import Synchronization

/// How a guest starts from an image.
public struct Restoration: Sendable {
    public var path: String
    public var shells: any GuestShells
    /// Read and check all pages first, instead of when they are first touched.
    public var preloads = false
    /// Keep the guest paused, even if it ran when its image was written.
    public var paused = false
    /// Start a copy. Other copies may run at the same time.
    public var clones = false
    /// Called after the guest's memory has arrived and before its device state does.
    public var prepare: @Sendable (any LocalGuest) throws(GuestError) -> Void = { _ in }

    public init(path: String, shells: any GuestShells) { (self.path, self.shells) = (path, shells) }
}

extension MachineHost {
    /// Restores the image's guest on the calling thread, and starts it.
    /// - Returns: false if the process was asked to end meanwhile.
    public func restore(_ restoration: Restoration) throws -> Bool {
        let start = MonotonicClock.now()
        let image = try GuestImage.named(restoration.path, for: restoration.clones ? .copying : .starting)
        let guest: any LocalGuest
        do {
            let shell = try restoration.shells.shell(for: image.requirements)
            let memory = restoration.preloads ? try image.emptyMemory() : try image.lazyMemory()
            guest = try shell.make(in: memory)
            if restoration.preloads { try image.preload(into: memory, doorbell: incomingDoorbell) }
            try restoration.prepare(guest)
            try guest.loadDeviceState(image.deviceSections)
        } catch ImageError.interrupted {
            return false
        } catch let error as ImageError {
            throw ImageRefused(path: image.path, error: error)
        } catch {
            throw GuestError("the guest in \(image.path) cannot be started: \(error)")
        }
        let runs = image.header.guestRuns && !restoration.paused
        try state.withLock { (state) throws(GuestError) in
            take(guest, &state)
            state.claim = image.claim
            try attempt(.restored(runs: runs), &state)
        }
        let time = start.duration(to: MonotonicClock.now()).wholeMilliseconds
        let pages = restoration.preloads ? "its pages were read and checked" : Self.words(lazilyRestored: guest.memory)
        logger.info("the guest was restored from \(image.path) in \(time) ms\(runs ? "" : " and is paused"); \(pages)")
        return true
    }

    private static func words(lazilyRestored memory: GuestRAM) -> String {
        let read = memory.pagesReadAtStart
        return "its pages come when they are touched" + (read > 0 ? ", but for \(Figures.count(read)) scattered ones, which were read" : "")
    }
}

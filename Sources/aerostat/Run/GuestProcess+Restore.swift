import Control
import GuestMemory
import Host
import Logging
import Migration
import MigrationIO
import ModelGuest
import Synchronization

/// How a guest starts from an image.
struct Restoration: Sendable {
    let path: String
    /// Read and check all pages first, instead of when they are touched.
    let preloads: Bool
    /// Keep the guest paused, whatever it did when its image was written.
    let paused: Bool
    let tracker: TrackerKind?
    /// What the guest shall do instead of what it did.
    let workload: Workload?
    /// Start it although another process runs the guest from the same image.
    let clones: Bool
}

extension GuestProcess {
    /// Makes an image's guest, on the calling thread, and starts it.
    /// - Returns: false where the process was asked to end meanwhile.
    func restore(_ restoration: Restoration) throws -> Bool {
        let start = MonotonicClock.now()
        let image = try GuestImage.named(restoration.path)
        do throws(GuestError) { try ModelGuest.check(requirements: image.requirements) } catch {
            throw GuestError("the guest in \(image.path) cannot be started here: \(error)")
        }
        let claim = restoration.clones ? nil : try ImageClaim(image.path)
        let memory: GuestRAM
        do throws(ImageError) {
            guard let filled = try self.memory(of: image, restoration) else { return false }
            memory = filled
        } catch {
            throw ImageRefused(path: image.path, error: error)
        }
        let guest = try ModelGuest(shell: memory, tracker: restoration.tracker)
        do throws(GuestError) {
            if let workload = restoration.workload { try guest.override(workload: workload) }
            try guest.loadDeviceState(image.deviceSections)
        } catch {
            throw GuestError("the guest in \(image.path) cannot be started: \(error)")
        }
        let runs = image.header.runs && !restoration.paused
        if runs { try guest.resume() }
        state.withLock { state in
            state.guest = guest
            state.claim = claim
            state.run = runs ? .running : .paused
        }
        if runs { announce(.resume) }
        let time = start.duration(to: MonotonicClock.now()).wholeMilliseconds
        let pages = restoration.preloads ? "its pages were read and checked" : "its pages come when they are touched"
        logger.info("the guest was restored from \(image.path) in \(time) ms\(runs ? "" : " and is paused"); \(pages)")
        return true
    }

    /// - Returns: `nil` where the process was asked to end meanwhile.
    private func memory(of image: GuestImage, _ restoration: Restoration) throws(ImageError) -> GuestRAM? {
        guard restoration.preloads else { return try image.lazyMemory() }
        do throws(ImageError) { return try image.preloadedMemory(doorbell: incomingDoorbell) } catch {
            if error == .interrupted { return nil }
            throw error
        }
    }
}

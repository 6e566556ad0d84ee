public import AerostatHost
import SystemPackage

/// Finds out which pages were written, whoever wrote them.
///
/// Used by one migration at a time, from its driver's thread.
public protocol DirtyTracker: AnyObject, Sendable {
    /// The name that `--tracker` takes.
    var name: String { get }

    /// Once this returns, every write to guest RAM will be harvested. Earlier writes may be forgotten.
    func arm() throws(SystemError)

    /// Adds the pages that were written since they were last armed, and arms them again. Each page is read and re-armed atomically.
    ///
    /// Read a page's bytes only after the harvest that re-armed it has returned.
    func harvest(into dirty: PageSet) throws(SystemError)

    /// Stops tracking and removes its overhead.
    func disarm()
}

/// A kind of tracker, as `--tracker` names it.
public enum TrackerKind: String, CaseIterable, Sendable {
    case pagemapScan = "pagemap-scan"
    case software
    /// KVM's own log, for guests that run under KVM.
    case kvmDirtyLog = "kvm-dirty-log"
    /// KVM's log as one ring for each vCPU.
    case kvmDirtyRing = "kvm-dirty-ring"
}

/// Uses only the log of the write door. For kernels without `PAGEMAP_SCAN` and for deterministic tests.
///
/// It sees only writers that use the door. The model guest's threads do; a KVM guest's vCPUs do not.
public final class SoftwareTracker: DirtyTracker {
    private let memory: GuestRAM

    public init(_ memory: GuestRAM) { self.memory = memory }

    public var name: String { TrackerKind.software.rawValue }

    public func arm() {
        memory.writeLog.removeAll()
        memory.isLoggingWrites = true
    }

    public func harvest(into dirty: PageSet) {
        precondition(memory.isLoggingWrites, "harvest before arm")
        memory.writeLog.forEachUsedWord { index in
            let bits = memory.writeLog.take(word: index)
            if bits != 0 { dirty.insert(bits: bits, word: index) }
        }
    }

    public func disarm() {
        memory.isLoggingWrites = false
        memory.writeLog.removeAll()
    }
}

/// Chooses a tracker that the kernel supports, for a guest that does not run under KVM.
/// - Parameter kind: forces one kind; `nil` takes the best one that works.
public func makeTracker(_ kind: TrackerKind?, for memory: GuestRAM) throws(SystemError) -> any DirtyTracker {
    switch kind {
    case .software: return SoftwareTracker(memory)
    case .pagemapScan: return try PagemapScanTracker(memory)
    case .kvmDirtyLog, .kvmDirtyRing:
        throw SystemError("track writes by \(kind!.rawValue)", place: "the guest does not run under KVM", code: .notSupported)
    case nil:
        do throws(SystemError) { return try PagemapScanTracker(memory) } catch { return SoftwareTracker(memory) }
    }
}

public import AerostatHost
import SystemPackage

/// Sees which pages are written, whoever writes them.
///
/// Used by one migration at a time, from its driver's thread.
public protocol DirtyTracker: AnyObject, Sendable {
    /// What `--tracker` calls it.
    var name: String { get }

    /// From the return on, every write to guest RAM will be harvested. Whatever was written before may be forgotten.
    func arm() throws(SystemError)

    /// Adds the pages written since they were last armed, and arms them again, page by page atomically.
    ///
    /// Read a page's bytes only after the harvest that re-armed it has returned.
    func harvest(into dirty: PageSet) throws(SystemError)

    /// Stops tracking and gives its costs back.
    func disarm()
}

/// Which tracker, as named by `--tracker`.
public enum TrackerKind: String, CaseIterable, Sendable {
    case pagemapScan = "pagemap-scan"
    case software
    /// KVM's own log, for guests that run under KVM.
    case kvmDirtyLog = "kvm-dirty-log"
    /// The same as a ring for each vCPU.
    case kvmDirtyRing = "kvm-dirty-ring"
}

/// The log of the write door alone: for kernels without `PAGEMAP_SCAN` and for deterministic tests.
///
/// Sees only writers that use the door, which the model guest's threads do; a KVM guest's vCPUs do not.
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

/// Chooses a tracker by what the kernel can do, for a guest that does not run under KVM.
/// - Parameter kind: forces one; `nil` takes the best that works.
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

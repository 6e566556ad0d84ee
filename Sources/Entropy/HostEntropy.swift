import AerostatHost
import CLinux
import Glibc
import SystemPackage

/// The host's random bytes: getrandom(2).
enum HostEntropy {
    /// - Throws: if the host does not have the call, or forbids it.
    static func probe() throws(SystemError) {
        var byte: UInt8 = 0
        do throws(SystemError) {
            try retryingInterrupts("read random numbers") { unsafe aerostat_getrandom(&byte, 1) }
        } catch {
            // A host that has just booted has no random bytes yet, but will have.
            guard error.code == .resourceTemporarilyUnavailable else { throw error }
        }
    }

    /// - Returns: `nil` if the host has none yet because it has just booted. The call does not wait for them, because the device's lock is
    ///   held.
    @Sendable static func bytes(_ count: Int) -> [UInt8]? {
        var filled = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            // Signals can cut a long read short.
            while filled < count {
                let result = unsafe aerostat_getrandom(buffer.baseAddress! + filled, count - filled)
                if result > 0 { filled += result } else if errno != EINTR { break }
            }
            initialized = filled
        }
        return filled == count ? bytes : nil
    }
}

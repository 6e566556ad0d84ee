import AerostatHost
import SystemPackage
import Testing

@Suite struct HostLimitsTests {
    @Test func `Available resources are taken and given back`() throws {
        for _ in 0..<50 { try HostLimits.require(HostLimits.Need(descriptors: 20, threads: 20, addressSpaceBytes: 1 << 30)) }
    }

    @Test func `A missing resource is named with its limit`() {
        func words(_ need: HostLimits.Need) -> String {
            do throws(HostLimits.Shortage) { try HostLimits.require(need) } catch { return "\(error)" }
            return ""
        }
        let files = "\(HostLimits.Shortage.descriptors(needed: 8, .tooManyOpenFiles))"
        #expect(files.hasPrefix("8 more files cannot be opened") && files.contains("(ulimit -n)"))
        #expect(words(HostLimits.Need(descriptors: 0, threads: 0, addressSpaceBytes: .max / 2)).contains("(ulimit -v)"))
        let threads = "\(HostLimits.Shortage.threads(needed: 8, .resourceTemporarilyUnavailable))"
        #expect(threads.hasPrefix("8 more threads cannot be started") && threads.contains("(ulimit -u)"))
    }
}

import AerostatHost
import Glibc
import Testing

/// Signals belong to the whole process, so these tests use signals that nothing else here uses.
@Suite(.serialized) struct SignalTests {
    @Test func `A watched signal is reported by its number, and has its default effect again after the watch`() throws {
        let heard = Monitor<[Int32]>([])
        try SignalWatch.start([SIGUSR1, SIGUSR2]) { number in heard.update { $0.append(number) } }
        for number in [SIGUSR1, SIGUSR2, SIGUSR1] {
            kill(getpid(), number)
            let deadline = MonotonicClock.now() + .seconds(10)
            #expect(heard.wait(until: deadline) { $0.last == number ? true : nil } == true)
        }
        #expect(heard.withLock(\.self) == [SIGUSR1, SIGUSR2, SIGUSR1])
        SignalWatch.end([SIGUSR1, SIGUSR2])
        #expect(disposition(SIGUSR1) == "default" && disposition(SIGUSR2) == "default")
    }

    @Test func `A signal is reported although it was blocked when the watch began`() throws {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGUSR1)
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        defer { unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil) }
        let isHeard = Monitor(false)
        try SignalWatch.start([SIGUSR1]) { _ in isHeard.update { $0 = true } }
        defer { SignalWatch.end([SIGUSR1]) }
        kill(getpid(), SIGUSR1)
        #expect(isHeard.wait(until: MonotonicClock.now() + .seconds(10)) { $0 ? true : nil } == true)
    }

    @Test func `An ignored SIGHUP, as under nohup, stays ignored`() throws {
        signal(SIGHUP, SIG_IGN)
        defer { signal(SIGHUP, SIG_DFL) }
        try SignalWatch.start([SIGHUP]) { _ in Issue.record("it was heard") }
        #expect(disposition(SIGHUP) == "ignored")
        SignalWatch.end([SIGHUP])
        #expect(disposition(SIGHUP) == "ignored")
    }

    /// As the kernel says.
    private func disposition(_ number: Int32) -> String {
        func isIn(_ name: String) -> Bool { mask(name, of: "/proc/self/status") & 1 << UInt64(number - 1) != 0 }
        return isIn("SigIgn:") ? "ignored" : isIn("SigCgt:") ? "caught" : "default"
    }

    @Test func `A child does not inherit ignored signals, except SIGHUP`() throws {
        let path = "/tmp/aerostat-test-\(getpid())-child"
        defer { unsafe unlink(path) }
        signal(SIGPIPE, SIG_IGN)
        signal(SIGUSR1, SIG_IGN)
        defer { signal(SIGUSR1, SIG_DFL) }
        let child = try ChildProcess("/bin/cat", ["/proc/self/status"], output: path, errors: "/dev/null")
        #expect(child.wait(until: MonotonicClock.now() + .seconds(10)) == 0)
        // The ignored signals of the C library and the real-time ones are inherited from the parent of the tests.
        #expect(mask("SigIgn:", of: path) & 0x7FFF_FFFF == 0)
        #expect(mask("SigBlk:", of: path) & 0x7FFF_FFFF == 0)
    }

    private func mask(_ name: String, of path: String) -> UInt64 {
        guard let file = unsafe fopen(path, "r") else { return .max }
        defer { unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 1024)
        while unsafe fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix(name) { return UInt64(text.dropFirst(name.count).filter(\.isHexDigit), radix: 16) ?? .max }
        }
        return .max
    }
}

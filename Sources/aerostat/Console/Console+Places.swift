import AerostatHost
import CommandSupport
import Glibc
import Synchronization
import SystemPackage

// The places that a console can be connected to.
extension Console {
    static let help = """
        \r
        Ctrl-A x  end this process, and the guest with it\r
        Ctrl-A h  this\r
        Ctrl-A Ctrl-A (or Ctrl-A a)  a Ctrl-A for the guest\r

        """

    /// Reads keys if a person sits at a terminal, and plain bytes otherwise.
    func openStandardStreams() throws {
        try write { writeAll($0, to: STDOUT_FILENO) }
        guard RawTerminal.isInteractive(STDIN_FILENO) else {
            // The terminal stops a background job that reads from it.
            if isatty(STDIN_FILENO) == 0 { try readInput(STDIN_FILENO) }
            return
        }
        try terminal.withLock { $0 = try RawTerminal(STDIN_FILENO) }
        try SignalWatch.start([SIGCONT]) { _ in RawTerminal.reapply() }
        _ = try HostThread(name: "console in") { [self] in
            var keys = ConsoleKeys()
            read(STDIN_FILENO) { bytes in
                for meaning in keys.read(bytes) {
                    switch meaning {
                    // Never wait for a slow guest here: the keys that end the process must always work.
                    case .input(let bytes): input.put(bytes, waits: false)
                    case .quit: quit()
                    case .help: writeToStandardError(Self.help)
                    }
                }
            }
        }
    }

    /// The guest's output replaces what the file held.
    func openFile(_ path: String) throws {
        let file = Descriptor(try .emptied(path, mode: 0o600))
        try write { writeAll($0, to: file.number) }
    }

    /// Serves one client at a time; the next one waits. Output is dropped while there is no client.
    func openSocket(_ path: String) throws {
        let listener = Listener(try .onlyForOwner(.unix(path: path)))
        try write { [self] bytes in
            guard let client = client.withLock({ $0 }) else { return }
            writeAll(bytes, to: client.number)
        }
        _ = try HostThread(name: "console in") { [self] in
            while let socket = try? listener.socket.accept(unlessRung: doorbell) {
                let descriptor = Descriptor(socket)
                client.withLock { $0 = descriptor }
                read(descriptor.number) { input.put($0, waits: true) }
                // Fails the writer's calls, so that it does not wait for a client that has gone.
                shutdown(descriptor.number, Int32(SHUT_RDWR))
                client.withLock { $0 = nil }
            }
        }
    }

    private func readInput(_ number: Int32) throws(SystemError) {
        _ = try HostThread(name: "console in") { [self] in read(number) { input.put($0, waits: true) } }
    }

    /// Holds the noncopyable socket, so that a closure can capture it.
    private final class Listener: Sendable {
        let socket: ListeningSocket
        init(_ socket: consuming ListeningSocket) { self.socket = socket }
    }
}

/// Writes all bytes, however slow the reader is. Gives up if there is no reader any more.
private func writeAll(_ bytes: [UInt8], to number: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(number, $0.baseAddress, $0.count) }
        if count > 0 {
            rest = rest.dropFirst(count)
        } else if errno == EAGAIN {
            var entry = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&entry, 1, -1)
        } else if errno != EINTR {
            return
        }
    }
}

import AerostatHost
import AerostatMicroVM
import Glibc
import Logging
import Synchronization
import SystemPackage

/// The guest's console: carries bytes between its serial port and the place where people see them.
///
///     vCPU ---> ConsoleOutput ---> a thread ---> terminal, pipe, file or client
///     vCPU <--- ConsoleInput <---- a thread <--- keys, pipe or client
///
/// A terminal stays in raw mode until `end()`, or until the process ends in any other way.
final class Console: Sendable {
    let output = ConsoleOutput()
    let input = ConsoleInput()
    let logger: Logger
    /// Rung by `end()`.
    let doorbell: Doorbell
    let terminal = Mutex<RawTerminal?>(nil)
    /// The connected client, if the console is a socket.
    let client = Mutex<Descriptor?>(nil)
    /// Asks the process to end, on behalf of a person at the terminal.
    let quit: @Sendable () -> Void

    /// A descriptor that several threads use. It is closed when the last reference goes.
    final class Descriptor: Sendable {
        private let owned: OwnedDescriptor
        init(_ owned: consuming OwnedDescriptor) { self.owned = owned }
        var number: Int32 { owned.number }
    }

    /// Returns `nil` if the guest is to have no console.
    /// - Parameter quit: called when a person at the terminal wants the process to end.
    init?(at place: ConsolePlace, logger: Logger, quit: @escaping @Sendable () -> Void) throws {
        if place == .none { return nil }
        self.logger = logger
        self.quit = quit
        doorbell = try Doorbell()
        switch place {
        case .none: break
        case .stdio: try openStandardStreams()
        case .file(let path): try openFile(path)
        case .unix(let path): try openSocket(path)
        }
        _ = try HostThread(name: "console feed") { [input] in input.run() }
    }

    // MARK: The guest's side

    /// The callbacks that connect a machine to its console.
    func observer(ended: @escaping @Sendable (MicroVM.Ending) -> Void) -> MicroVM.Observer {
        MicroVM.Observer(output: { [output] in output.put($0) }, roomForInput: { [input] in input.guestHasRoom() }, ended: ended)
    }

    /// From now on the guest gets what people type.
    func attach(_ guest: MicroVM) { input.attach { guest.receive($0) } }

    /// Waits a moment until the guest's last output is read, then restores the terminal's mode.
    func end() {
        output.end()
        input.end()
        doorbell.ring()
        terminal.withLock { $0 = nil }
    }

    // MARK: Threads

    /// Starts the thread that writes the guest's output.
    func write(_ body: @escaping @Sendable ([UInt8]) -> Void) throws(SystemError) {
        _ = try HostThread(name: "console out") { [output, logger] in
            while let bytes = output.next() {
                body(bytes)
                let lost = output.takeLost()
                if lost > 0 { logger.warning("nobody read the guest's console: \(lost) bytes of its output are lost") }
            }
        }
    }

    /// Reads input until it ends, or until the console ends.
    func read(_ number: Int32, _ body: ([UInt8]) -> Void) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            var entries = [
                pollfd(fd: number, events: Int16(POLLIN), revents: 0), pollfd(fd: doorbell.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&entries, 2, -1)
            if entries[1].revents != 0 { return }
            guard entries[0].revents != 0 else { continue }
            let count = unsafe Glibc.read(number, &buffer, buffer.count)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else { return }
            body(Array(buffer[..<count]))
        }
    }
}

import AerostatBalloonControl
import AerostatControl
import AerostatGuestMemory
import AerostatHost
import AerostatMachineHost
import AerostatMicroVM
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest
import AerostatQMP
import ArgumentParser
import CommandSupport
import Foundation
import Logging
import Synchronization

/// `aerostat run`: a guest in the foreground.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs a guest in the foreground: a new one, one that comes in, or one from an image.",
        discussion: """
            Once it can be spoken to, it prints one line of JSON on standard output: {"event":"READY", ...} with the control socket and, \
            where it waits for a guest, the place where it listens. It ends on 'aerostat quit', SIGINT, SIGTERM or SIGHUP (not under \
            nohup), and when a guest under KVM powers off or resets itself (0) or crashes (1). Neither a standard output that nobody reads \
            nor a log that nobody reads ends it or holds it up.

            Example: a guest of 1 GiB, and a place for it to go to
              aerostat run --memory 1GiB --workload churn --control /tmp/a.sock
              aerostat run --incoming tcp:127.0.0.1:4444 --control /tmp/b.sock
              aerostat migrate --control /tmp/a.sock tcp:127.0.0.1:4444

            Example: Linux under KVM, its console in this terminal (Ctrl-A x ends it)
              aerostat run --guest kvm --kernel vmlinuz --initrd initrd.img --memory 1GiB --vcpus 2 --control /tmp/a.sock

            Example: a guest from its image
              aerostat run --restore file:/srv/guest.image --control /tmp/c.sock
            """
    )

    @Option(
        help: ArgumentHelp(
            "Which guest: model, a small kernel run by threads of this process; kvm, Linux under KVM; tiny, some hundred bytes of "
                + "machine code under KVM (default: model).",
            discussion: "With --incoming and --restore: the only kind that is accepted. Without this option any kind is."
        )
    )
    var guest: GuestKind?

    @OptionGroup var options: GuestOptions

    @Option(help: "Wait for a guest at tcp:HOST:PORT (port 0: any), unix:PATH or fd:N. Without --memory its shape comes from the source.")
    var incoming: String?

    @Option(help: "Start the guest from an image, file:PATH. Its pages are read when they are touched.")
    var restore: String?

    @Flag(help: "Read all of the image first, and compare it with its checksums.")
    var preload = false

    @Flag(
        help: ArgumentHelp(
            "With --restore: start a copy of the image's guest.",
            discussion:
                "Copies run side by side, from an image whose own guest does not run now. It may have moved on: only a copy is started "
                + "then."
        )
    )
    var clone = false

    @Flag(help: "Do not let the guest run until 'aerostat resume'.")
    var paused = false

    @Option(help: "The control socket to serve (QMP).", completion: .file(), transform: Values.controlPath)
    var control: String

    @Option(
        help: ArgumentHelp(
            "How the guest's balloon driver behaves (default: correct): "
                + DriverBehaviour.allCases.map(\.rawValue).joined(separator: ", ") + ".",
            discussion:
                "A slow one delivers blocks late, a reloading one resets the device in the middle of most rounds, a mute-balloon one "
                + "ignores the balloon's size. All others but correct are hostile guests: they show that the device withstands such a "
                + "guest. docs/model-guest.md describes each."
        )
    )
    var balloonDriver: DriverBehaviour?

    @OptionGroup(title: "Guests under KVM") var machine: MachineOptions

    func validate() throws { _ = try origin() }

    func run() async throws {
        // Without this, an image that exceeds the file size limit would kill the process. Now the write fails with an error.
        signal(SIGXFSZ, SIG_IGN)
        // Done before this process opens any descriptor.
        var inherited = openStreamSockets()
        let logger = Logger(label: "aerostat")
        do {
            try HostLimits.require(.guest)
            let origin = try origin()
            // An incoming guest uses up the descriptor that it comes in by.
            if case .incoming(.descriptor(let number)) = origin { inherited.remove(number) }
            let listener = try origin.listen()
            let host = try MachineHost(
                origin.hosted,
                keepsEndedGuest: machine.noShutdown,
                inheritedSockets: inherited,
                logger: logger
            )
            let balloon = BalloonCapability(host)
            let console = try Console(at: consolePlace(origin), logger: logger) { host.end(.asked(reason: "host-ui")) }
            defer { console?.end() }
            let surroundings = MachineSurroundings(console: console) { host.guestEnded(GuestEnding($0)) }
            let guest = try origin.make(tracker: options.tracker, surroundings)
            if let guest { host.hold(guest) }
            let ending = try await serve(host, balloon, origin, listener, surroundings)
            host.shutdown()
            if ending.isFailure { throw ExitCode(1) }
        } catch let code as ExitCode {
            throw code
        } catch let error as ValidationError {
            throw error
        } catch {
            logger.error("\(error)")
            throw ExitCode(1)
        }
    }

    /// Serves the control socket until the process should end.
    private func serve(
        _ host: MachineHost,
        _ balloon: BalloonCapability,
        _ origin: MachineOrigin,
        _ listener: consuming IncomingListener?,
        _ surroundings: MachineSurroundings
    ) async throws -> ProcessEnding {
        let place = listener?.uri
        // The guest has already taken its share.
        try HostLimits.require(.server)
        var objects = ObjectModel()
        objects.add(balloon.object, named: BalloonObject.name)
        var commands = host.commands
        for set in [balloon.commands, objects.commands] { commands.add(set) }
        let server = try await ControlServer.listen(path: control, commands: commands, logger: host.logger)
        host.attach { event, ago in server.broadcast(event, ago: ago) }
        // Done before anybody learns of the process and may ask it to end.
        try SignalWatch.start(SignalWatch.endings) { _ in host.end(.asked(reason: "host-signal")) }
        let shells = MachineShells(engine: self.guest?.engine, tracker: options.tracker, surroundings: surroundings)
        var receiver: HostThread?
        do {
            var isReady = true
            if let listener = listener.take() {
                receiver = try receive(host, listener, shells)
            } else if case .image(let path) = origin {
                isReady = try await self.restore(host, path, shells)
                if isReady { rehearse(host) }
            } else {
                if !paused { try host.start() }
                rehearse(host)
            }
            if isReady { try printReady(origin, incoming: place, host.logger) }
        } catch {
            // This removes the control socket too.
            await server.close()
            throw error
        }
        let ending = await aside { host.waitForEnd() }
        await server.close()
        // The source is told why its guest is not accepted, which takes a few seconds at most.
        receiver?.join()
        return ending
    }

    /// Restores the image's guest on its own thread, so that the process can be asked to end meanwhile.
    private func restore(_ host: MachineHost, _ path: String, _ shells: MachineShells) async throws -> Bool {
        var restoration = Restoration(path: path, shells: shells)
        (restoration.preloads, restoration.paused, restoration.clones) = (preload, paused, clone)
        if let workload = options.chosenWorkload {
            restoration.prepare = { (guest) throws(GuestError) in
                guard let guest = guest as? ModelGuest else {
                    throw GuestError("what a guest under KVM does is its own affair: --workload is for model guests")
                }
                try guest.override(workload: workload)
            }
        }
        let prepared = restoration
        return try await aside { try host.restore(prepared) }
    }

    /// Rehearses if the guest is here and runs under KVM.
    private func rehearse(_ host: MachineHost) {
        if (try? host.presentGuest()) is MicroVM { Rehearsal.begin(tracker: options.tracker, logger: host.logger) }
    }

    /// Waits for the migration on its own thread.
    private func receive(_ host: MachineHost, _ listener: consuming IncomingListener, _ shells: MachineShells) throws -> HostThread {
        let shape = try shape()
        let handover = Handover(listener)
        let paused = paused
        return try HostThread(name: "incoming") {
            // If no kind of guest was named, an incoming guest may not need KVM, so a failure is only logged for debugging.
            if shells.takeMachines {
                Rehearsal.begin(tracker: shells.tracker, logger: host.logger, failure: shells.engine == nil ? .debug : .warning)
            }
            host.receive(handover.listener, shape: shape, shells: shells, paused: paused)
        }
    }

    /// Carries the noncopyable listener into a closure.
    private final class Handover: Sendable {
        let listener: IncomingListener
        init(_ listener: consuming IncomingListener) { self.listener = listener }
    }

    /// How long to wait until the READY line can be written.
    private static let readyPatience = Duration.seconds(1)

    /// Prints the line that tells the starter of this process that it accepts commands. If the guest owns standard output, the line goes
    /// to standard error. If nobody can read it the guest runs all the same: the control socket works, and the guest may be all that its
    /// owner has.
    private func printReady(_ origin: MachineOrigin, incoming: MigrationURI?, _ logger: Logger) throws {
        struct Ready: Encodable {
            let event = "READY"
            let control: String
            let incoming: String?
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let line = try encoder.encode(Ready(control: control, incoming: incoming.map { "\($0)" }))
        let stream = consolePlace(origin) == .stdio ? StandardStream.error : .output
        do throws(StandardStream.Failure) {
            try stream.write(String(decoding: line, as: UTF8.self) + "\n", patience: Self.readyPatience)
        } catch {
            logger.warning("nobody was told READY: \(error); the process goes on")
        }
    }
}

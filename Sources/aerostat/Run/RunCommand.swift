import ArgumentParser
import Control
import Dispatch
import Foundation
import GuestMemory
import Host
import Logging
import Migration
import MigrationIO
import ModelGuest
import Synchronization

/// `aerostat run`: a guest in the foreground.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs a guest in the foreground: a new one, one that comes in, or one from an image.",
        discussion: """
            Once it can be spoken to, it prints one line of JSON on standard output: {"event":"READY", ...} with the control socket and, \
            where it waits for a guest, the place where it listens. It ends on 'aerostat quit', SIGINT or SIGTERM.

            Example: a guest of 1 GiB, and a place for it to go to
              aerostat run --memory 1GiB --workload churn --control /tmp/a.sock
              aerostat run --incoming tcp:127.0.0.1:4444 --control /tmp/b.sock
              aerostat migrate --control /tmp/a.sock tcp:127.0.0.1:4444

            Example: a guest from its image
              aerostat run --restore file:/srv/guest.image --control /tmp/c.sock
            """
    )

    enum GuestKind: String, ExpressibleByArgument, CaseIterable { case model }

    @Option(help: "Which guest: model, a small kernel run by threads of this process.")
    var guest: GuestKind = .model

    @OptionGroup var options: GuestOptions

    @Option(help: "Wait for a guest at tcp:HOST:PORT (port 0: any), unix:PATH or fd:N. Without --memory its shape comes from the source.")
    var incoming: String?

    @Option(help: "Start the guest from an image, file:PATH. Its pages are read when they are touched.")
    var restore: String?

    @Flag(help: "Read all of the image first, and compare it with its checksums.")
    var preload = false

    @Flag(help: "With --restore: start a second guest from an image although another process runs one from it.")
    var clone = false

    @Flag(help: "Do not let the guest run until 'aerostat resume'.")
    var paused = false

    @Option(help: "The control socket to serve (QMP).", completion: .file())
    var control: String

    @Option(
        help: ArgumentHelp(
            "How the guest's balloon driver answers: correct, slow, reloading, silent, wrong-id, stale-id, outside-ram, unaligned, "
                + "descriptor-loop, bad-indices or index-jump (default: correct).",
            discussion:
                "A slow one lets the device hear of its blocks late, a reloading one resets the device in the middle of most rounds. All others are hostile guests, to see that the device "
                + "withstands them."
        )
    )
    var balloonDriver: DriverBehaviour?

    /// `--memory` where nothing comes in and nothing was said.
    static let defaultMemory: UInt64 = 256 << 20

    func validate() throws {
        if preload, restore == nil { throw ValidationError("--preload goes with --restore") }
        if clone, restore == nil { throw ValidationError("--clone goes with --restore") }
        if let incoming {
            if restore != nil { throw ValidationError("a guest comes in (--incoming) or from an image (--restore), not both") }
            _ = try Self.uri(incoming)
            _ = try options.regions()
            try options.refuseMaking(with: "--incoming")
            if balloonDriver != nil { throw ValidationError("--balloon-driver has no meaning with --incoming: the guest comes as it is") }
        } else if let restore {
            _ = try Self.image(restore)
            if options.memory != nil || !options.holes.isEmpty {
                throw ValidationError("--memory has no meaning with --restore: the guest comes as it is")
            }
            try options.refuseMaking(with: "--restore", except: ["--workload", "--write-rate", "--working-set"])
            if options.workload == nil, options.writeRate != nil || options.workingSet != nil {
                throw ValidationError("--write-rate and --working-set go with --workload: without it the guest does what it did")
            }
            if balloonDriver != nil { throw ValidationError("--balloon-driver has no meaning with --restore: the guest comes as it is") }
        } else {
            _ = try options.configuration(defaultMemory: Self.defaultMemory)
        }
    }

    func run() async throws {
        // An image that exceeds the limit for files is an error, not the end of the guest.
        signal(SIGXFSZ, SIG_IGN)
        // Before anything is opened here.
        let inherited = openStreamSockets()
        let logger = Logger(label: "aerostat")
        do {
            let process: GuestProcess
            var listener: IncomingListener?
            if let incoming {
                listener = try IncomingListener(try Self.uri(incoming))
                process = try GuestProcess(guest: nil, run: .inMigrate, inheritedSockets: inherited, logger: logger)
            } else if restore != nil {
                process = try GuestProcess(guest: nil, run: .restoreVM, inheritedSockets: inherited, logger: logger)
            } else {
                let configuration = try options.configuration(defaultMemory: Self.defaultMemory, driver: balloonDriver ?? .correct)
                process = try GuestProcess(
                    guest: try ModelGuest(booting: configuration, tracker: options.tracker),
                    run: .preLaunch,
                    inheritedSockets: inherited,
                    logger: logger
                )
            }
            let place = listener?.uri
            let server = try await ControlServer.listen(path: control, handler: process, logger: logger)
            process.attach(server)
            let signals = Self.endOnSignals(process)
            var receiver: HostThread?
            do {
                var isReady = true
                if let listener = listener.take() {
                    receiver = try receive(process, listener)
                } else if let restore {
                    isReady = try await self.restore(process, try Self.image(restore))
                } else {
                    try process.start(paused: paused)
                }
                if isReady { try Self.printReady(control: control, incoming: place) }
            } catch {
                // Its socket goes with it.
                await server.close()
                throw error
            }
            let ending = await process.waitForEnd()
            await server.close()
            // The source hears why its guest is not taken, which takes seconds at most.
            receiver?.join()
            withExtendedLifetime(signals) {}
            process.shutdownGuest()
            if case .failed = ending { throw ExitCode(1) }
        } catch let code as ExitCode {
            throw code
        } catch let error as ValidationError {
            throw error
        } catch {
            logger.error("\(error)")
            throw ExitCode(1)
        }
    }

    private static func uri(_ text: String) throws -> MigrationURI {
        do throws(MigrationURI.ParseError) { return try MigrationURI(text) } catch { throw ValidationError("\(error)") }
    }

    private static func image(_ text: String) throws -> String {
        guard case .file(let path) = try uri(text) else {
            throw ValidationError(
                "--restore takes file:PATH, not '\(text)'; a guest that comes from another process is waited for with --incoming"
            )
        }
        return path
    }

    /// Makes the image's guest on a thread of its own, so that the process can be asked to end meanwhile.
    private func restore(_ process: GuestProcess, _ path: String) async throws -> Bool {
        let restoration = Restoration(
            path: path,
            preloads: preload,
            paused: paused,
            tracker: options.tracker,
            workload: options.chosenWorkload,
            clones: clone
        )
        return try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Result { try process.restore(restoration) }) }
        }
    }

    /// Waits for the migration on a thread of its own.
    private func receive(_ process: GuestProcess, _ listener: consuming IncomingListener) throws -> HostThread {
        let shape = try options.regions()
        let handover = Handover(listener)
        let tracker = options.tracker
        let paused = paused
        return try HostThread(name: "incoming") {
            process.receive(handover.listener, shape: shape, tracker: tracker, paused: paused)
        }
    }

    /// Carries the noncopyable listener into a closure.
    private final class Handover: Sendable {
        let listener: IncomingListener
        init(_ listener: consuming IncomingListener) { self.listener = listener }
    }

    private static func endOnSignals(_ process: GuestProcess) -> [any DispatchSourceSignal] {
        [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler { process.end(.asked(reason: "host-signal")) }
            source.resume()
            return source
        }
    }

    /// The line that tells whoever started this process that it can be spoken to.
    private static func printReady(control: String, incoming: MigrationURI?) throws {
        struct Ready: Encodable {
            let event = "READY"
            let control: String
            let incoming: String?
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var line = try encoder.encode(Ready(control: control, incoming: incoming.map { "\($0)" }))
        line.append(0x0A)
        FileHandle.standardOutput.write(line)
    }
}

extension GuestProcess {
    /// Sleeps, on a thread of its own, until the process is asked to end.
    func waitForEnd() async -> Ending {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { [self] in continuation.resume(returning: quit.wait { $0 }!) }
        }
    }

    /// Ends a migration that is under way and the guest's threads.
    func shutdownGuest() {
        let (guest, migration) = state.withLock { ($0.guest, $0.migration) }
        if let migration {
            migration.cancel()
            _ = migration.wait()
        }
        guest?.shutdown()
    }
}

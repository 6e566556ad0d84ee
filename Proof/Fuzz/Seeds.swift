import AerostatControl
import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest
import Foundation

/// What fuzzing begins with: captures of the real thing, one folder for each target. Made by `tools/fuzz --seeds`.
enum Seeds {
    static func write(to folder: String) throws {
        let seeds: [String: [[UInt8]]] = [
            "canary": [],
            "device": sessions,
            "dump": [
                [255, 0, 4, 3, 0, 4, 1, 255, 3, 2, 100, 0, 7, 200, 0, 14], [16, 8, 0, 0xFF, 3, 1, 0xFF, 3, 3, 0xFF, 3, 0, 0xFF, 3, 6],
            ],
            "entropy": requests,
            "image": [try modelImage(), smallImage],
            "qmp": conversations.map { Array($0.utf8) },
            "stream": try [(verifies: false, paused: false), (true, true)].map { try stream(verifies: $0.verifies, paused: $0.paused) },
            "values": texts.map { [$0.0] + Array($0.1.utf8) },
        ]
        for (target, inputs) in seeds {
            let place = URL(fileURLWithPath: folder).appending(path: target)
            try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
            for (index, input) in inputs.enumerated() { try Data(input).write(to: place.appending(path: "seed-\(index)")) }
        }
    }

    // MARK: Text

    private static let texts: [(UInt8, String)] = [
        (0, "tcp:localhost:4444"), (0, "tcp:[::1]:0"), (0, "unix:/run/guest.socket"), (0, "fd:3"), (0, "file:/var/guest.image"),
        (1, "4GiB"), (1, "1.5TiB"), (1, "16777216"), (1, "0.25MiB"), (1, "512M"), (1, "1.5g"), (2, "8G"), (2, "4Gbit"), (2, "500Mbit/s"),
        (2, "2.5m"), (2, "100k"), (2, "0"), (3, "300ms"),
        (3, "1.5s"), (4, "10%"), (4, "99.9%"),
    ]

    private static let conversations = [
        """
        {"execute": "qmp_capabilities"}
        {"execute": "query-status", "id": 1}
        {"execute": "migrate-set-parameters", "arguments": {"downtime-limit": 300, "max-bandwidth": 1000000, "on-timeout": "cancel"}}
        {"execute": "migrate", "arguments": {"uri": "tcp:localhost:4444", "detach": true}}
        {"execute": "query-migrate"}
        """,
        """
        {"execute":"pmemsave","arguments":{"val":0,"size":4096,"filename":"/tmp/dump"}}{"execute":"migrate_cancel"}{"execute":"quit"}
        {"execute": "migrate-set-parameters", "arguments": {"free-page-hints": false, "hint-grace": 10, "verify": true, "timeout": 5000, \
        "image-sync": "end"}}
        """,
        """
        {"QMP": {"version": {"qemu": {"major": 0, "minor": 1, "micro": 0}, "package": "Aerostat"}, "capabilities": []}}\r
        {"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION", "data": {"status": "active"}}\r
        {"event": "MIGRATION_PASS", "data": {"pass": 2}}\r\n{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}
        {"error": {"class": "GenericError", "desc": "no"}, "id": "\\u00e9\\ud83d\\ude00"}
        """,
        report, "[1, -2.5e3, null, true, \"\\n\"]", "{\"a\": [{\"b\": {}}]}\u{FF}{",
    ]

    private static var report: String {
        var report = MigrationReport()
        report.status = .active
        report.rounds = [MigrationReport.Round(number: 1, start: 0)]
        return (try? report.json.text()) ?? ""
    }

    // MARK: The device

    /// Programs of `HostileMachine`: as a correct driver, and as one that is not.
    private static let sessions: [[UInt8]] = [
        // Start with rings of 64, begin, answer, four hints, the guest's stop; then another round that the host stops, done.
        [
            0, 5, 0, 6, 10, 0, 13, 0, 14, 1, 15, 14, 20, 3, 14, 200, 7, 14, 40, 0, 13, 0xF0, 0, 0, 0, 0, 10, 1, 13, 0, 14, 2, 2, 10, 2, 14,
            3, 3, 10, 3,
        ],
        // Moved in the middle of a round, twice; then a reset.
        [0, 5, 0, 10, 10, 0, 13, 0, 14, 1, 1, 11, 10, 0, 13, 0, 14, 9, 9, 10, 4, 11, 14, 2, 2, 10, 5, 9, 15, 0, 5, 1, 3],
        // Chains of several descriptors, indirect ones and loops, in the hint queue and another one.
        [0, 5, 0, 4, 10, 0, 13, 0, 6, 2, 0, 0, 0, 16, 0, 16, 0, 0, 3, 0, 1, 0, 6, 2, 1, 0, 0, 32, 0, 16, 0, 0, 2, 0, 0, 0, 7, 2, 0]
            + [6, 2, 3, 3, 0, 1, 32, 0, 0, 0, 4, 0, 0, 0, 7, 2, 3, 6, 0, 2, 0, 0, 0, 8, 0, 0, 0, 1, 0, 2, 0, 7, 0, 2],
        // No EVENT_IDX, poison, specification numbers; state that is forged.
        [4, 5, 3, 5, 0, 10, 0, 15, 10, 0, 12, 1, 0, 20, 1, 12, 2, 1, 4, 255, 0, 40, 3, 12, 1, 0, 200, 30],
        // A target, six pages into the balloon and three out again, one of them never in; a huge count; a move, and more of it.
        [
            0, 5, 0, 6, 19, 0, 20, 16, 0, 6, 40, 41, 42, 44, 38, 43, 16, 1, 3, 41, 44, 9, 16, 0x20, 2, 37, 38, 255, 255, 11, 16, 0, 3, 39,
            40,
            0x82, 16, 1, 2, 42, 0x82,
        ],
        // Statistics each second: five entries, a second buffer, time, a move with the buffer held, time, an answer.
        [0, 5, 0, 6, 19, 4, 1, 18, 13]
            + (0..<5).flatMap { [$0, 0, 1, 2, 3, 4, 5, 6, 7, 8] } + [
                0, 0, 18, 3, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 19, 6, 2, 9, 11, 9, 19, 6, 2, 9,
            ]
            + [18, 3, 6, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0],
        // Reports, some inhibited, one that holds the rings; poison.
        [
            0, 5, 0, 6, 17, 37, 3, 0, 19, 2, 0, 17, 38, 1, 0, 19, 3, 0, 17, 30, 15, 0, 17, 38, 2, 0xF5, 3, 0, 15, 0, 1, 0x0C, 0x01, 4, 0xAA,
            0xAA, 0xAA, 0xAA, 0, 0, 0, 0, 5, 0, 6, 17, 37, 3, 0,
        ],
    ]

    /// Programs of `HostileEntropyMachine`.
    private static let requests: [[UInt8]] = [
        // A ring of 8: two requests, one of two segments, then a move and another request.
        [3, 0, 1, 0, 0, 0, 1, 64, 0, 2, 0, 3, 0, 1, 1, 0, 0, 2, 32, 0, 3, 2, 1, 2, 0, 0, 3, 32, 0, 2, 0, 3, 1, 11, 0, 0, 3, 0],
        // The host has nothing at first, and the device is parked meanwhile; a segment of no length.
        [2, 0, 9, 1, 0, 0, 1, 64, 0, 2, 0, 3, 0, 10, 8, 11, 4, 1, 10, 9, 8, 1, 1, 0, 0, 0, 0, 2, 0, 3, 1, 0],
        // Buffers that are nowhere, an index that jumps, a ring written over.
        [4, 0, 1, 0, 3, 1, 0, 255, 255, 2, 0, 3, 0, 5, 0, 9, 8, 0, 6, 4, 1, 2, 3, 4, 0, 1, 3, 2],
    ]

    // MARK: The stream

    /// A migration over a socket, recorded where its frames are taken.
    private static func stream(verifies: Bool, paused: Bool) throws -> [UInt8] {
        let regions = try RegionTable([
            MemoryRegion(base: GuestAddress(0), byteCount: 16 << 12), MemoryRegion(base: GuestAddress(1 << 20), byteCount: 48 << 12),
        ])
        let memory = try GuestRAM(regions)
        for page in stride(from: 0, to: 40, by: 3) {
            unsafe memory.withWritablePages(PageRun(first: PageIndex(page), count: 2)) {
                unsafe $0.bindMemory(to: UInt64.self).update(repeating: UInt64(page % 5))
            }
        }
        var parameters = MigrationParameters()
        parameters.verifies = verifies
        let owner = SourceMigration.Owner(
            statusChanged: { _ in },
            roundBegan: { _ in },
            isGuestRunning: { !paused },
            handOver: { !paused }
        )
        let source = try SourceMigration(guest: IdleGuest(memory), parameters: parameters, owner: owner)
        let (near, far) = try connectedSockets()
        try source.start(to: .descriptor(near))
        let doorbell = try Doorbell()
        let link = RecordingLink(try makeSocketTransport(OwnedDescriptor(adopting: far), doorbell: doorbell, plainRing: false))
        let destination = DestinationMigration(link, shape: nil, doorbell: doorbell, startsGuest: true, arrived: { _, _ in }) {
            (regions, _) throws(GuestError) in
            do { return IdleGuest(try GuestRAM(regions)) } catch { throw GuestError("\(error)") }
        }
        guard case .running = destination.run(), case .completed = source.wait() else { fatalError("the migration to be recorded failed") }
        return [0] + link.recorded
    }

    // MARK: Images

    /// The image of a booted model guest: its tables, its rings, its device's state.
    private static func modelImage() throws -> [UInt8] {
        var configuration = ModelGuestConfiguration(memory: try RegionTable(contiguousBytes: ModelGuestConfiguration.minimumMemoryBytes))
        (configuration.usedShare, configuration.freedShare) = (0, 0)
        let guest = try ModelGuest(booting: configuration, tracker: .software)
        let path = "/dev/shm/aerostat-fuzz-\(getpid()).image"
        defer { unsafe unlink(path) }
        let owner = SourceMigration.Owner(statusChanged: { _ in }, roundBegan: { _ in }, isGuestRunning: { true }, handOver: { true })
        var parameters = MigrationParameters()
        parameters.usesHints = false
        let migration = try SourceMigration(guest: guest, parameters: parameters, owner: owner)
        try migration.start(to: .file(path: path))
        guard case .completed = migration.wait() else { fatalError("the image to be taken was not written") }
        return ImageText(describing: Array(try Data(contentsOf: URL(fileURLWithPath: path)))).encoded
    }

    /// Sixteen pages: two with data, one of zeros, one free.
    private static var smallImage: [UInt8] {
        var header = ImageHeader(
            id: SessionID(high: 1, low: 2),
            begun: 1,
            regions: must { try RegionTable(contiguousBytes: 16 << 12) },
            creator: "fuzz"
        )
        header.isComplete = true
        (header.requirements, header.deviceSections) = (1, 1)
        let state = ImageDeviceState(
            requirements: [DeviceSection(name: "idle", version: 1, bytes: [7])],
            sections: [DeviceSection(name: "idle", version: 1, bytes: [1, 2, 3])]
        ).encode()
        let pieces: [(UInt8, UInt32, [UInt8])] = [
            (0, 0, [0b11]), (1, 0, [0b100]), (2, 0, [0b1000]), (4, 0, state), (5, 10, Array("data".utf8)), (5, 5000, [1, 2, 3]),
        ]
        return ImageText(
            header: ImageText.front(of: header.encode()),
            deviceStateBytes: UInt32(state.count),
            pieces: pieces.map { ImageText.Piece(place: $0.0, offset: $0.1, bytes: $0.2) }
        ).encoded
    }
}

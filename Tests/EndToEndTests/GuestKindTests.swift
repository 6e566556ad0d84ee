import AerostatHost
import AerostatMicroVM
import AerostatMigration
import AerostatQMP
import Foundation
import Testing

extension EndToEnd {
    /// Which guest may start where. A refusal comes before any memory moves.
    @Suite struct GuestKinds {
        @Test func `a process that accepts only KVM guests refuses a model guest by name, and the guest keeps running`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB", "--workload", "churn")
                let destination = try await guests.waiting("--guest", "kvm")
                let migrate = try await source.migrate(to: try destination.incoming)
                migrate.expectFailure("the guest is a model guest, and only one for KVM is taken", "the guest is still running")
                try await source.expectGuestIsStillHere()
                #expect(try await source.report().ram.transferred < 4096, "memory travelled")
                try await destination.expectGuestDidNotCome("the guest is a model guest")
                try await source.expectMigrates(guests)
            }
        }

        @Test func `a model guest's image is not started as another kind`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "64MiB")
                let image = "file:" + guests.path("model.image")
                #expect(try await source.migrate(to: image).code == 0)
                try await Aerostat.command("run", "--restore", image, "--guest", "kvm", "--control", guests.path("second"))
                    .expectFailure("model.image cannot be started", "the guest is a model guest")
                try await guests.run("--restore", image, "--guest", "model").expectClean()
            }
        }

        @Test func `a guest of an unknown kind is refused, and its requirement is named`() async throws {
            try await withGuests { guests in
                for (requirements, words) in [
                    ([DeviceSection(name: "steam", version: 1, bytes: [])], "nothing here offers what the guest requires: steam"),
                    ([DeviceSection(name: "model-guest", version: 77, bytes: [])], "the guest's model kernel has version 77"),
                    ([], "the guest does not say what kind it is"),
                ] {
                    let destination = try await guests.waiting()
                    let uri = try destination.incoming
                    let answer = try await aside { () -> Frame? in
                        let peer = try FrameSocket(connectingTo: uri)
                        var hello = try Hello.someGuest
                        hello.requirements = requirements
                        peer.send(Frame.hello(hello).encode(sequence: 0))
                        return try peer.receiveDecodedFrame()
                    }
                    guard case .abort(let reason)? = answer else { throw TooLate(description: "no reason, but \(answer as Any)") }
                    #expect(reason.hasPrefix(words), "\(reason)")
                    try await destination.expectGuestDidNotCome(words)
                }
            }
        }

        @Test(.enabled(if: MicroVM.unavailability == nil, Comment(rawValue: MicroVM.unavailability ?? "")))
        func `a process that accepts only model guests refuses a KVM guest by name, and its image`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--guest", "tiny")
                let destination = try await guests.waiting("--guest", "model")
                let migrate = try await source.migrate(to: try destination.incoming)
                migrate.expectFailure("the guest is one for KVM, and only a model guest is taken", "the guest is still running")
                try await source.expectGuestIsStillHere()
                try await destination.expectGuestDidNotCome("the guest is one for KVM")
                let image = "file:" + guests.path("tiny.image")
                #expect(try await source.migrate(to: image).code == 0)
                try await Aerostat.command("run", "--restore", image, "--guest", "model", "--control", guests.path("second"))
                    .expectFailure("tiny.image cannot be started", "the guest is one for KVM")
                try await guests.run("--restore", image).expectClean()
            }
        }

        // MARK: No usable KVM

        /// An unprivileged user may not open the device. `setpriv` gives up the privileges.
        private static let nobody = "65534"
        private static let canDrop =
            getuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv") && MicroVM.unavailability == nil

        @Test(.enabled(if: canDrop, "needs root, setpriv and /dev/kvm"))
        func `a host that may not use KVM says so, and refuses guests that need it`() async throws {
            try await withGuests { guests in
                let folder = guests.path("open")
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
                try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: folder)
                let drop = ["--reuid", Self.nobody, "--regid", Self.nobody, "--clear-groups", Aerostat.path]
                let refused = try await Aerostat.run(
                    "/usr/bin/setpriv",
                    drop + ["run", "--guest", "tiny", "--control", folder + "/a.sock"]
                )
                refused.expectFailure("/dev/kvm may not be opened")

                let source = try await guests.run("--guest", "tiny")
                let uri = "unix:" + folder + "/in.sock"
                let waiting = drop + ["run", "--incoming", uri, "--control", folder + "/b.sock"]
                async let destination = Aerostat.run("/usr/bin/setpriv", waiting)
                try await eventually("the destination waits") { FileManager.default.fileExists(atPath: folder + "/b.sock") }
                try await source.migrate(to: uri).expectFailure("/dev/kvm may not be opened", "the guest is still running")
                try await destination.expectFailure("/dev/kvm may not be opened", "the guest is not here")
                try await source.expectGuestIsStillHere()
            }
        }

        // MARK: Options

        static let kernels: [(path: String, words: String)] = [
            ("/etc/passwd", "/etc/passwd is no Linux kernel"), ("/nonexistent/vmlinuz", "/nonexistent/vmlinuz"), ("/", "/"),
        ]

        @Test(.enabled(if: MicroVM.unavailability == nil, Comment(rawValue: MicroVM.unavailability ?? "")), arguments: kernels)
        func `a file that is not a kernel is refused in one line`(_ kernel: (path: String, words: String)) async throws {
            try await withGuests { guests in
                let ended = try await Aerostat.command("run", "--guest", "kvm", "--kernel", kernel.path, "--control", guests.path("a"))
                ended.expectFailure(kernel.words)
                #expect(ended.errors.split(separator: "\n").count == 1, "\(ended)")
            }
        }

        /// What a boot loader sees of a kernel that runs at 2 MiB and needs 16 MiB there.
        private static func bzImage() -> Data {
            var file = Data(count: 4 * 512 + 0x1000)
            let fields: [(Int, [UInt8])] = [
                (0x1F1, [3]), (0x1F4, [0, 1]), (0x1FE, [0x55, 0xAA, 0xEB, 0x6A]), (0x202, Array("HdrS".utf8)), (0x206, [0x0F, 2]),
                (0x211, [1]), (0x22C, [0xFF, 0xFF, 0xFF, 0x7F]), (0x230, [0, 0, 0x20]), (0x236, [0x7F]), (0x238, [0xFF]),
                (0x258, [0, 0, 0x20]), (0x260, [0, 0, 0, 1]),
            ]
            for (offset, bytes) in fields { file.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
            return file
        }

        @Test(
            .enabled(if: MicroVM.unavailability == nil, Comment(rawValue: MicroVM.unavailability ?? "")),
            arguments: [
                ("4MiB", "the guest has too little memory for this kernel: 18 MiB are needed, and 4 MiB are there"),
                ("64MiB", "is too large for the guest's memory: it has 104857600 bytes"),
            ]
        )
        func `a kernel or an initrd for which there is no room is refused in one line`(memory: String, words: String) async throws {
            try await withGuests { guests in
                let (kernel, initrd) = (guests.path("kernel"), guests.path("initrd"))
                try Self.bzImage().write(to: URL(filePath: kernel))
                try Data().write(to: URL(filePath: initrd))
                let file = try FileHandle(forWritingTo: URL(filePath: initrd))
                try file.truncate(atOffset: 100 << 20)
                try file.close()
                let machine = ["--guest", "kvm", "--kernel", kernel, "--initrd", initrd, "--memory", memory]
                let ended = try await Aerostat.run(Aerostat.path, ["run", "--control", guests.path("a")] + machine)
                ended.expectFailure(words)
                #expect(ended.errors.split(separator: "\n").count == 1, "\(ended)")
            }
        }

        static let nonsense: [[String]] = [
            ["--guest", "kvm"], ["--guest", "kvm", "--kernel", "/x", "--workload", "idle"], ["--kernel", "/x"],
            ["--guest", "tiny", "--kernel", "/x"], ["--guest", "tiny", "--memory", "1MiB"], ["--guest", "tiny", "--vcpus", "65"],
            ["--guest", "kvm", "--kernel", "/x", "--tracker", "software"], ["--tracker", "kvm-dirty-log"],
            ["--guest", "tiny", "--console", "carrier-pigeon"], ["--guest", "model", "--console", "stdio"], ["--no-shutdown"],
            ["--guest", "tiny", "--incoming", "tcp:127.0.0.1:0"], ["--guest", "kvm", "--kernel", "/x", "--incoming", "tcp:127.0.0.1:0"],
            ["--guest", "kvm", "--kernel", "/x", "--balloon-driver", "silent"],
        ]

        @Test(arguments: nonsense)
        func `options that contradict each other: exit 64`(_ options: [String]) async throws {
            let ended = try await Aerostat.run(Aerostat.path, ["run", "--control", "/nonexistent/x"] + options)
            #expect(ended.code == 64 && ended.output.isEmpty && ended.errors.contains("Error:"), "\(ended)")
        }
    }
}

import Foundation
import Testing

extension EndToEnd {
    /// Which files options write, and which they leave alone.
    @Suite struct WritingFiles {
        /// The bytes of an open file, whatever its name leads to by now.
        private struct OpenFile {
            let handle: FileHandle
            let inode: UInt64
            let path: String

            init(_ path: String) throws {
                self.path = path
                handle = try FileHandle(forReadingFrom: URL(filePath: path))
                inode = try #require(Self.inode(path))
            }

            static func inode(_ path: String) -> UInt64? {
                (try? FileManager.default.attributesOfItem(atPath: path))?[.systemFileNumber] as? UInt64
            }

            private func bytes() throws -> Data {
                try handle.seek(toOffset: 0)
                return try handle.readToEnd() ?? Data()
            }

            /// Whether the bytes are unchanged. Returns a Bool, because a failed comparison of the data would print both in full.
            func holds(_ before: Data) throws -> Bool { try bytes() == before }

            var hasItsName: Bool { Self.inode(path) == inode }
        }

        private func image(_ guests: Guests, _ name: String = "guest.image") async throws -> String {
            let path = guests.path(name)
            let source = try await guests.run("--memory", "32MiB")
            #expect(try await source.migrate(to: "file:" + path).code == 0)
            _ = try await source.command("quit")
            return path
        }

        @Test func `no option that writes a file changes the image that a guest runs from`() async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                let file = try OpenFile(path)
                let before = try Data(contentsOf: URL(filePath: path))
                let guest = try await guests.run("--restore", "file:" + path)
                let other = try await guests.run("--memory", "32MiB")
                let control = guests.path("refused.sock")
                let commands: [[String]] = [
                    ["migrate", "--control", other.control, "file:" + guests.path("other.image"), "--record", path],
                    ["dump-memory", "--control", other.control, "-o", path],
                    ["dump-memory", "--control", guest.control, "-o", path],
                    ["run", "--control", control, "--incoming", "tcp:127.0.0.1:0", "--console", "file:" + path],
                    ["run", "--control", control, "--incoming", "tcp:127.0.0.1:0", "--console", "unix:" + path],
                    ["run", "--control", control, "--incoming", "unix:" + path],
                    ["run", "--control", path, "--memory", "32MiB"],
                ]
                for command in commands {
                    let ended = try await Aerostat.run(Aerostat.path, command)
                    #expect(ended.code == 1 || ended.code == 64, "\(command): \(ended)")
                    #expect(ended.text.contains(path), "\(command): \(ended)")
                    #expect(try file.holds(before) && file.hasItsName, "\(command) changed the image")
                }
                // Another image may take its place. The guest keeps the one that it has.
                let (ram, flags) = (guests.path("ram"), guests.path("flags"))
                try Data(count: 16 << 20).write(to: URL(filePath: ram))
                try Data(count: (16 << 20) / 512).write(to: URL(filePath: flags))
                for command in [
                    ["migrate", "--control", other.control, "file:" + path],
                    ["image", "import", "--ram", ram, "--page-flags", flags, "-o", path],
                ] {
                    let ended = try await Aerostat.run(Aerostat.path, command)
                    #expect(ended.code == 0, "\(ended)")
                    #expect(try file.holds(before) && !file.hasItsName, "\(command) changed the image")
                }
                try await guest.expectClean()
            }
        }

        @Test func `a record does not replace the image that the same migration writes`() async throws {
            try await withGuests { guests in
                let source = try await guests.run("--memory", "32MiB")
                let path = guests.path("guest.image")
                let migrate = try await source.migrate(to: "file:" + path, "--record", path)
                migrate.expectFailure("being written already", path, "the guest is still running at the source")
                try await source.expectGuestIsStillHere()
            }
        }

        @Test func `only an image may overwrite an image that nobody runs`() async throws {
            try await withGuests { guests in
                let path = try await image(guests)
                let before = try Data(contentsOf: URL(filePath: path))
                let guest = try await guests.run("--memory", "32MiB")
                let record = try await guest.migrate(to: "file:" + guests.path("other.image"), "--record", path)
                record.expectFailure(code: 64, "a guest image is there", path)
                try await guest.command("dump-memory", "-o", path).expectFailure("a guest image is there", path)
                let isSame = try Data(contentsOf: URL(filePath: path)) == before
                #expect(isSame)
                try await guests.run("--restore", "file:" + path).expectClean()
            }
        }

        @Test func `a symbolic link without a target is followed: the image and the record are written to its target`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "32MiB")
                let (image, record) = (guests.path("image.link"), guests.path("record.link"))
                for link in [image, record] {
                    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: link + ".target")
                }
                #expect(try await guest.migrate(to: "file:" + image, "--record", record).code == 0)
                for link in [image, record] {
                    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == link + ".target")
                }
                #expect(try String(contentsOfFile: record + ".target", encoding: .utf8).contains("\"samples\""))
                try await guests.run("--restore", "file:\(image).target").expectClean()
            }
        }

        @Test func `a record can go to standard output`() async throws {
            try await withGuests { guests in
                let guest = try await guests.run("--memory", "32MiB")
                let migrate = try await guest.migrate(to: "file:" + guests.path("guest.image"), "--record", "/dev/stdout")
                #expect(migrate.code == 0 && migrate.output.contains("\"samples\""), "\(migrate)")
            }
        }
    }
}

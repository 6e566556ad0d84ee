import AerostatHost
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Whatever an option writes, no existing file is lost unintentionally.
@Suite struct OutputFileTests {
    private let folder: TestFolder

    init() throws { folder = try TestFolder() }

    private func content(_ name: String) throws -> String {
        let file = try SourceFile(folder[name])
        var bytes = [UInt8](repeating: 0, count: Int(file.byteCount))
        try file.read(at: 0, into: &bytes, bytes.indices)
        return String(decoding: bytes, as: UTF8.self)
    }

    private func make(_ name: String, _ text: String) throws { try TestFile(folder[name]).write(text) }

    private func link(_ name: String, to target: String) { #expect(unsafe symlink(target, folder[name]) == 0) }

    private func isLink(_ name: String) -> Bool {
        var status = stat()
        return unsafe lstat(folder[name], &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    // MARK: The older file

    @Test func `An older file stays until the new one is complete, and an unfinished file leaves nothing`() throws {
        try make("file", "older")
        do {
            let file = try OutputFile(folder["file"], .text)
            try file.append(Array("new".utf8))
            #expect(try content("file") == "older")
        }
        try #expect(folder.entries == ["file"] && content("file") == "older")
        try OutputFile.write("new", to: folder["file"])
        try #expect(folder.entries == ["file"] && content("file") == "new")
    }

    @Test(arguments: [FileLock.shared, .exclusive]
    )
    func `A file on which somebody holds a lock is refused by name, and not a byte of it changes`(by lock: FileLock) throws {
        try make("file", "in use")
        let holder = try OwnedDescriptor.open(folder["file"], flags: O_RDONLY)
        #expect(try holder.lock(lock))
        link("link", to: "file")
        for name in ["file", "link"] {
            for content in [OutputFile.Content.text, .memory] {
                let error = #expect(throws: SystemError.self) { try OutputFile(folder[name], content) }
                #expect(error?.place == folder[name] && error?.operation.contains("somebody uses it") == true, "\(error as Any)")
            }
            #expect(throws: SystemError.self) { _ = try OwnedDescriptor.emptied(folder[name], mode: 0o600) }
        }
        try #expect(folder.entries == ["file", "link"] && content("file") == "in use")
    }

    @Test func `A lock that is taken during the write protects the older file`() throws {
        try make("file", "in use")
        let file = try OutputFile(folder["file"], .text)
        let holder = try OwnedDescriptor.open(folder["file"], flags: O_RDONLY)
        #expect(try holder.lock(.shared))
        #expect(throws: SystemError.self) { try file.finish() }
        try #expect(folder.entries == ["file"] && content("file") == "in use")
    }

    @Test func `Only an image replaces a guest image, even one that appeared during the write`() throws {
        let image = String(decoding: ImageSignature.bytes, as: UTF8.self) + "the memory of a guest"
        let record = try OutputFile(folder["image"], .text)
        try make("image", image)
        #expect(throws: SystemError.self) { try record.finish() }
        for content in [OutputFile.Content.text, .memory] {
            #expect(throws: SystemError.self) { try OutputFile(folder["image"], content) }
        }
        #expect(throws: SystemError.self) { _ = try OwnedDescriptor.emptied(folder["image"], mode: 0o600) }
        #expect(try content("image") == image)
        // This holds even if a guest runs from it: the guest keeps the file that it has.
        let holder = try OwnedDescriptor.open(folder["image"], flags: O_RDONLY)
        #expect(try holder.lock(.exclusive))
        try OutputFile(folder["image"], .image).finish()
        #expect(try content("image") == "")
        var bytes = [UInt8](repeating: 0, count: image.utf8.count)
        #expect(unsafe pread(holder.number, &bytes, bytes.count, 0) == bytes.count && String(decoding: bytes, as: UTF8.self) == image)
    }

    @Test func `A link stays, and the file that it names is written, even if that does not exist yet`() throws {
        try make("older", "older")
        link("link", to: "older")
        try OutputFile.write("new", to: folder["link"])
        link("dangling", to: folder["made"])
        link("chain", to: "dangling")
        try OutputFile.write("made", to: folder["chain"])
        #expect(folder.entries == ["chain", "dangling", "link", "made", "older"])
        #expect(isLink("link") && isLink("dangling") && isLink("chain"))
        #expect(try content("older") == "new" && content("made") == "made")
        link("round", to: "round")
        let error = #expect(throws: SystemError.self) { try OutputFile(folder["round"], .text) }
        #expect(error?.code == .tooManySymbolicLinkLevels)
    }

    @Test func `Text goes directly into a special file; memory and images are refused there`() throws {
        try OutputFile.write("nobody reads this", to: "/dev/null")
        #expect(unsafe mkfifo(folder["fifo"], 0o600) == 0)
        // If nobody reads it, that is an error, and the call does not wait.
        #expect(throws: SystemError.self) { try OutputFile(folder["fifo"], .text) }
        let reader = try OwnedDescriptor.open(folder["fifo"], flags: O_RDONLY | O_NONBLOCK)
        try OutputFile.write("read", to: folder["fifo"])
        var bytes = [UInt8](repeating: 0, count: 10)
        #expect(unsafe read(reader.number, &bytes, 10) == 4)
        for place in [folder["fifo"], "/dev/null", folder.path] {
            for content in [OutputFile.Content.image, .memory] {
                #expect(throws: SystemError.self) { try OutputFile(place, content) }
            }
        }
        #expect(throws: SystemError.self) { try OutputFile(folder.path, .text) }
        #expect(folder.entries == ["fifo"])
    }

    @Test func `A descriptor of this process is written at its position, even if it is a regular file`() throws {
        let open = try OwnedDescriptor.open(folder["open"], flags: O_WRONLY | O_CREAT)
        try open.writeAll(Array("before, ".utf8), path: "")
        try OutputFile.write("behind", to: "/dev/fd/\(open.number)")
        #expect(try content("open") == "before, behind")
    }

    // MARK: The partial file

    @Test func `Only one writer at a time writes to a path, and the leftover of a killed one is replaced`() throws {
        let first = try OutputFile(folder["file"], .text)
        let error = #expect(throws: SystemError.self) { try OutputFile(folder["file"], .image) }
        #expect(error?.operation.contains("being written already") == true)
        first.end()
        try make("file.partial", "left")
        let left = try SourceFile(folder["file.partial"])
        try OutputFile.write("new", to: folder["file"])
        var bytes = [UInt8](repeating: 0, count: 4)
        try left.read(at: 0, into: &bytes, bytes.indices)
        #expect(bytes == Array("left".utf8) && folder.entries == ["file"])
    }

    @Test(arguments: ["", "a\0b"])
    func `An invalid path is refused`(path: String) {
        #expect(throws: SystemError.self) { try OutputFile(path, .text) }
        #expect(throws: SystemError.self) { _ = try OwnedDescriptor.emptied(path, mode: 0o600) }
    }

    // MARK: A rename that fails

    private enum Fate: CaseIterable { case happened, didNotHappen, somebodyElses }

    @Test(arguments: Fate.allCases)
    private func `After a failed rename the file names tell whether it happened, did not happen, or is unknown`(_ fate: Fate) throws {
        var calls = FileCalls.system
        calls.rename = { from, to in
            switch fate {
            case .happened: _ = unsafe Glibc.rename(from, to)
            case .didNotHappen: break
            case .somebodyElses: _ = unsafe Glibc.rename(from, to + ".elsewhere")
            }
            errno = EIO
            return -1
        }
        let file = try OutputFile(folder["file"], .image, calls: calls)
        let publication = file.publish()
        file.end()
        switch (fate, publication) {
        case (.happened, .published): #expect(folder.entries == ["file"])
        case (.didNotHappen, .failed(let error)): #expect(error.code == .ioError && folder.entries == [])
        case (.somebodyElses, .unknown(let error)): #expect(error.code == .ioError && folder.entries == ["file.elsewhere"])
        default: Issue.record("\(fate) was taken for \(publication)")
        }
    }

    @Test func `A leftover is gone even if its removal reports a failure`() throws {
        var calls = FileCalls.system
        calls.unlink = { path in
            _ = unsafe Glibc.unlink(path)
            errno = EIO
            return -1
        }
        try make("file.partial", "left")
        try OutputFile(folder["file"], .text, calls: calls).finish()
        #expect(folder.entries == ["file"])
    }
}

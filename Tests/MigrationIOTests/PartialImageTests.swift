import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import Glibc
import Testing

/// The file next to an image that is being written belongs to this writer only.
@Suite struct PartialImageTests {
    private let folder: ImageFolder
    private let memory: GuestRAM
    private let pages = [[RunDescriptor(.data, PageRun(first: PageIndex(0), count: 4))]]

    init() throws {
        folder = try ImageFolder()
        memory = try GuestRAM(RegionTable(contiguousBytes: 1 << 20))
    }

    /// An image that was begun, and the transport that writes it.
    private func begin(_ name: String = "image") throws -> any Transport {
        let link = try makeFileTransport(folder[name], doorbell: try Doorbell())
        link.pageCount = memory.pageCount
        try link.send(.hello(Hello(session: SessionID(high: 1, low: 2), regions: memory.regions, capabilities: [])), from: memory)
        while try link.takeFrame() == nil { try link.wait(until: nil) }
        return link
    }

    private func inode(_ name: String) -> UInt64? {
        var status = stat()
        return unsafe stat(folder[name], &status) == 0 ? UInt64(status.st_ino) : nil
    }

    private func makeFile(_ name: String, _ text: String) throws {
        let file = try OwnedDescriptor.open(folder[name], flags: O_WRONLY | O_CREAT | O_EXCL)
        #expect(unsafe write(file.number, text, text.utf8.count) == text.utf8.count)
    }

    private func content(_ name: String) throws -> String {
        let file = try SourceFile(folder[name])
        var bytes = [UInt8](repeating: 0, count: Int(file.byteCount))
        try file.read(at: 0, into: &bytes, bytes.indices)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `A link in the place of the partial file is not followed, and the file that it names is unchanged`() throws {
        try makeFile("precious", "precious")
        #expect(unsafe symlink("precious", folder["image.partial"]) == 0)
        #expect(throws: TransportError.self) { try begin() }
        #expect(try content("precious") == "precious")
        #expect(folder.entries == ["image.partial", "precious"])
    }

    @Test func `The leftover of a killed writer is not written to, because a guest may have been started from it`() throws {
        try makeFile("image.partial", "left over")
        let old = try SourceFile(folder["image.partial"])
        try folder.write(of: memory, rounds: pages)
        var bytes = [UInt8](repeating: 0, count: 9)
        try old.read(at: 0, into: &bytes, bytes.indices)
        #expect(String(decoding: bytes, as: UTF8.self) == "left over")
        #expect(folder.entries == ["image"])
    }

    @Test func `A file that another writer put in the partial file's place is neither published nor removed`() throws {
        let first = try begin()
        #expect(unsafe unlink(folder["image.partial"]) == 0)
        let second = try begin()
        let theirs = try #require(inode("image.partial"))
        #expect(throws: TransportError.self) {
            try first.send(.switchover(sections: 0, guestRuns: true), from: memory)
            while try first.takeFrame() == nil { try first.wait(until: nil) }
            try first.send(.commit, from: memory)
            while try first.takeFrame() == nil { try first.wait(until: nil) }
        }
        #expect(inode("image.partial") == theirs)
        #expect(inode("image") == nil)
        withExtendedLifetime(second) {}
    }
}

import AerostatHost
import AerostatIOUring
import Foundation
import Glibc
import TestSupport
import Testing

@Suite struct FileTests {
    /// An empty file without a name.
    private func temporaryFile() throws -> OwnedDescriptor {
        let path = NSTemporaryDirectory() + "aerostat-ring-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        defer { unsafe unlink(path) }
        return try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
    }

    /// Sleeps until everything in flight has completed; the results by token.
    private func completeAll(_ ring: inout Ring) throws -> [UInt64: Int32] {
        var results: [UInt64: Int32] = [:]
        var patience = 200
        while ring.inFlight > 0, patience > 0 {
            try ring.submitAndWait(timeout: .milliseconds(50))
            while let completion = ring.nextCompletion() { results[completion.token] = completion.result }
            patience -= 1
        }
        return results
    }

    @Test(arguments: [false, true])
    func `Pieces written at their places, many in flight, are read back; a hole reads as zero`(plain: Bool) throws {
        let file = try temporaryFile()
        var ring = try Ring(entries: 8, operations: .files, plain: plain)
        let pieces = 20
        let memory = try Mapping(anonymousByteCount: pieces * 4096)
        var random = SeededGenerator(seed: 11)
        for offset in 0..<pieces * 4096 {
            unsafe memory.base.storeBytes(of: .random(in: 1...255, using: &random), toByteOffset: offset, as: UInt8.self)
        }
        // Every other page of the file, last first.
        for piece in (0..<pieces).reversed() {
            try unsafe ring.prepareWrite(
                file.number,
                from: memory.base + piece * 4096,
                count: 4096,
                at: UInt64(piece) * 8192,
                token: UInt64(piece)
            )
        }
        #expect(try completeAll(&ring) == Dictionary(uniqueKeysWithValues: (0..<UInt64(pieces)).map { ($0, 4096) }))
        for dataOnly in [false, true] {
            try ring.prepareSync(file.number, dataOnly: dataOnly, token: 1)
            #expect(try completeAll(&ring) == [1: 0])
        }
        let length = (pieces - 1) * 8192 + 4096
        try ring.preparePunchHole(file.number, at: 8192, count: 4096, token: 2)
        try ring.preparePunchHole(file.number, at: UInt64(length), count: 1 << 20, token: 3)
        #expect(try completeAll(&ring) == [2: 0, 3: 0])
        let back = try Mapping(anonymousByteCount: length + 4096)
        try unsafe ring.prepareRead(file.number, into: back.base, count: length + 4096, at: 0, token: 4)
        #expect(try completeAll(&ring) == [4: Int32(length)], "the hole behind the end made the file longer")
        for piece in 0..<pieces {
            let isEqual = unsafe memcmp(memory.base + piece * 4096, back.base + piece * 8192, 4096) == 0
            #expect(isEqual == (piece != 1), "piece \(piece)")
        }
        for offset in 8192..<16384 where unsafe back.base.load(fromByteOffset: offset, as: UInt8.self) != 0 {
            Issue.record("byte \(offset) of the hole is not zero")
            break
        }
    }

    @Test func `What cannot be read or written is an errno in the completion`() throws {
        var ring = try Ring(entries: 8, operations: .files)
        let memory = try Mapping(anonymousByteCount: 4096)
        let readOnly = try OwnedDescriptor.open("/proc/self/exe", flags: O_RDONLY)
        let device = try OwnedDescriptor.open("/dev/full", flags: O_WRONLY)
        try unsafe ring.prepareWrite(readOnly.number, from: memory.base, count: 4096, at: 0, token: 1)
        try unsafe ring.prepareWrite(device.number, from: memory.base, count: 4096, at: 0, token: 2)
        try unsafe ring.prepareRead(-1, into: memory.base, count: 4096, at: 0, token: 3)
        try ring.preparePunchHole(readOnly.number, at: 0, count: 4096, token: 4)
        try ring.prepareSync(-1, dataOnly: true, token: 5)
        #expect(try completeAll(&ring) == [1: -EBADF, 2: -ENOSPC, 3: -EBADF, 4: -EBADF, 5: -EBADF])
    }
}

import AerostatGuestMemory
import AerostatHost
import AerostatModelGuest
import Foundation
import TestSupport

/// A machine's memory, generated from a seed, and the two files of its dump.
struct SyntheticMachine {
    enum Page: Hashable {
        case hole
        /// A page of zeros with data in the file.
        case zero
        case data(UInt64)

        var words: [UInt64] {
            var words = [UInt64](repeating: 0, count: 512)
            guard case .data(let seed) = self else { return words }
            // Some differ from zero only in their last byte.
            if seed % 4 == 0 {
                words[511] = 1 << 63
            } else {
                var random = SeededGenerator(seed: seed)
                for index in words.indices { words[index] = random.next() }
            }
            return words
        }
    }

    static let blockFrames = 1024
    var isFree: [Bool] = []
    var pages: [Page] = []

    /// Has each kind of block once, then blocks of random kinds.
    init(blocks: Int, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for block in 0..<blocks {
            let kind = block < 8 ? block : Int.random(in: 0..<8, using: &random)
            var isFree = [Bool](repeating: kind < 4, count: Self.blockFrames)
            if kind == 6 { for frame in isFree.indices { isFree[frame] = Bool.random(using: &random) } }
            if kind == 7 {
                var frame = 0
                while frame < Self.blockFrames {
                    let end = min(frame + Int.random(in: 1...200, using: &random), Self.blockFrames)
                    let value = Bool.random(using: &random)
                    for inside in frame..<end { isFree[inside] = value }
                    frame = end
                }
            }
            self.isFree += isFree
            let hasOneKindOfPage = kind % 4 < 3
            for _ in 0..<Self.blockFrames {
                switch hasOneKindOfPage ? kind % 4 : Int.random(in: 0..<3, using: &random) {
                case 0: pages.append(.hole)
                case 1: pages.append(.zero)
                default: pages.append(.data(random.next()))
                }
            }
        }
    }

    // MARK: What an import must count, computed without blocks and bits

    var used: Set<Int> { Set(isFree.indices.filter { !isFree[$0] }) }
    var free: Set<Int> { Set(isFree.indices.filter { isFree[$0] }) }
    var freeBlocks: [Int] {
        let free = free
        return (0..<isFree.count / Self.blockFrames).filter { block in
            free.isSuperset(of: block * Self.blockFrames..<(block + 1) * Self.blockFrames)
        }
    }
    func isZero(_ frame: Int) -> Bool { pages[frame] == .hole || pages[frame] == .zero }

    // MARK: Files

    /// - Parameter surplus: the flags of frames behind RAM.
    func write(to folder: Folder, surplus: [UInt64] = []) throws {
        let ram = try TestFile(folder.ram)
        for (frame, page) in pages.enumerated() where page != .hole {
            try ram.write(page.words.flatMap(littleEndianBytes), at: UInt64(frame) << 12)
        }
        try ram.finish(byteCount: UInt64(pages.count) << 12)
        // Bits other than BUDDY do not say that a page is free.
        var random = SeededGenerator(seed: 1)
        let words = isFree.map { random.next() & ~(1 << 10) | ($0 ? 1 << 10 : 0) } + surplus
        let flags = try TestFile(folder.flags)
        try flags.write(words.flatMap(littleEndianBytes), at: 0)
    }

    func dump(in folder: Folder) throws -> MachineDump {
        try write(to: folder)
        return try MachineDump(ram: folder.ram, pageFlags: folder.flags)
    }
}

func littleEndianBytes(_ word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }

/// A folder that is removed with its last reference.
final class Folder: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "aerostat-import-\(UUID())").path
    var ram: String { path + "/ram" }
    var flags: String { path + "/page-flags" }

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

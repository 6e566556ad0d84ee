import Foundation
import Testing

/// A file system of a few MiB, for tests of full disks: a tmpfs for one test.
final class SmallDisk: Guests.Endable {
    let folder: String

    /// Whether this process may mount one.
    static let isPossible: Bool = {
        guard geteuid() == 0, let disk = try? SmallDisk(megabytes: 1) else { return false }
        disk.end()
        return true
    }()

    init(megabytes: Int) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "aerostat-disk-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        guard unsafe mount("aerostat", folder, "tmpfs", 0, "size=\(megabytes)m") == 0 else {
            let reason = unsafe String(cString: unsafe strerror(errno))
            try? FileManager.default.removeItem(atPath: folder)
            throw TooLate(description: "no tmpfs could be mounted: \(reason)")
        }
    }

    func path(_ name: String) -> String { folder + "/" + name }

    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] }

    /// Fills the disk completely.
    func fill() throws {
        let filler = unsafe try #require(unsafe fopen(path("filler"), "w"))
        defer { unsafe fclose(filler) }
        let piece = [UInt8](repeating: 1, count: 4096)
        unsafe setvbuf(filler, nil, _IONBF, 0)
        while unsafe fwrite(piece, 1, piece.count, filler) == piece.count {}
    }

    func end() {
        unsafe umount2(folder, Int32(MNT_DETACH))
        try? FileManager.default.removeItem(atPath: folder)
    }
}

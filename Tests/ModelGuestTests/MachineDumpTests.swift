import AerostatGuestMemory
import AerostatHost
import AerostatModelGuest
import Foundation
import TestSupport
import Testing

extension ModelGuestTests {
    /// Files that are a machine's memory, and files that are not.
    @Suite struct MachineDumpTests {
        private func files(ramBytes: UInt64, flagBytes: UInt64) throws -> Folder {
            let folder = try Folder()
            try TestFile(folder.ram).finish(byteCount: ramBytes)
            try TestFile(folder.flags).finish(byteCount: flagBytes)
            return folder
        }

        private func refusal(_ ram: String, _ flags: String) -> String? {
            do {
                _ = try MachineDump(ram: ram, pageFlags: flags)
                return nil
            } catch { return "\(error)" }
        }

        /// The RAM's size and the base, in bytes.
        private static let layouts: [(UInt64, UInt64)] = [
            (16 << 20, 4 << 20), (1 << 30, 8 << 20), (endsOnTheBoundary, 36 << 20), (1 << 36, 260 << 20),
        ]
        private static let endsOnTheBoundary: UInt64 = 2290 << 22

        @Test(arguments: layouts)
        func `The machine's memory begins on the first boundary behind the tables`(ramBytes: UInt64, base: UInt64) throws {
            let folder = try files(ramBytes: ramBytes, flagBytes: ramBytes >> 9)
            let dump = try MachineDump(ram: folder.ram, pageFlags: folder.flags)
            #expect(dump.base.rawValue == base && dump.regions.byteCount == base + ramBytes)
            let end = { (base: UInt64) throws -> UInt64 in
                UInt64(KernelMemory(try GuestRAM(RegionTable(contiguousBytes: base + ramBytes))).layout.firstFrame) << 12
            }
            #expect(try end(base) <= base)
            if base > 4 << 20 { #expect(try end(base - 4 << 20) > base - 4 << 20) }
            if ramBytes == Self.endsOnTheBoundary { #expect(try end(base) == base) }
        }

        @Test func `Tables that end exactly where the machine's memory begins are complete`() throws {
            let ramBytes = Self.endsOnTheBoundary
            let folder = try files(ramBytes: ramBytes, flagBytes: 0)
            try TestFile(folder.flags).write([UInt8](repeating: 0xFF, count: Int(ramBytes >> 9)), at: 0)
            let imported = try ImportedGuest(MachineDump(ram: folder.ram, pageFlags: folder.flags), tracker: .software)
            let result = try imported.guest.check()
            #expect(result.isClean, "\(result)")
            #expect(result.pagesFreeTopOrder == Int(ramBytes >> 12) && result.pagesFree == result.pagesFreeTopOrder)
            #expect(imported.summary.holes == imported.summary.frames && imported.summary.freeTopOrder == imported.summary.frames)
        }

        @Test func `Impossible or contradictory sizes are refused with the path`() throws {
            let mebibyte: UInt64 = 1 << 20
            for bytes in [0, 12 * mebibyte, 16 * mebibyte + 4096, 18 * mebibyte, 16 * mebibyte + 1, 1 << 36 + 4 * mebibyte, 1 << 42] {
                let folder = try files(ramBytes: bytes, flagBytes: min(bytes >> 9, 1 << 30))
                #expect(refusal(folder.ram, folder.flags)?.hasPrefix("\(folder.ram) has \(bytes) bytes") == true)
            }
            let needed: UInt64 = 32 << 10
            for bytes in [0, 8, needed - 8, needed - 1, needed + 1, needed + 8 << 20 + 8, 1 << 42] {
                let folder = try files(ramBytes: 16 * mebibyte, flagBytes: bytes)
                #expect(refusal(folder.ram, folder.flags)?.hasPrefix("\(folder.flags) has \(bytes) bytes") == true, "\(bytes)")
            }
            for bytes in [needed, needed + 8, needed + 8 << 20] {
                let folder = try files(ramBytes: 16 * mebibyte, flagBytes: bytes)
                #expect(refusal(folder.ram, folder.flags) == nil)
            }
        }

        @Test func `A free frame behind RAM is refused, because frame numbers would not be positions in the file`() throws {
            let machine = SyntheticMachine(blocks: 4, seed: 1)
            let folder = try Folder()
            try machine.write(to: folder, surplus: [UInt64](repeating: ~(1 << 10), count: 2000))
            #expect(refusal(folder.ram, folder.flags) == nil)
            try machine.write(to: folder, surplus: [UInt64](repeating: 0, count: 1500) + [1 << 10])
            #expect(refusal(folder.ram, folder.flags)?.contains("page frame \(machine.pages.count + 1500) is free") == true)
        }

        @Test func `A path that is not a readable file is refused and named`() throws {
            let folder = try files(ramBytes: 16 << 20, flagBytes: 32 << 10)
            #expect(refusal(folder.path + "/none", folder.flags)?.contains(folder.path + "/none") == true)
            #expect(refusal(folder.ram, folder.path)?.contains("(\(folder.path))") == true)
            #expect(refusal("/dev/zero", folder.flags)?.contains("/dev/zero, which is not a regular file") == true)
            let pipe = folder.path + "/pipe"
            unsafe #expect(mkfifo(pipe, 0o600) == 0)
            #expect(refusal(folder.ram, pipe)?.contains("\(pipe), which is not a regular file") == true)
        }

        @Test func `A file that shrinks during the import is an error with the position`() throws {
            let machine = SyntheticMachine(blocks: 8, seed: 2)
            for file in [\Folder.ram, \Folder.flags] {
                let folder = try Folder()
                let dump = try machine.dump(in: folder)
                let half = UInt64(try FileManager.default.attributesOfItem(atPath: folder[keyPath: file])[.size] as! Int) / 2
                unsafe #expect(truncate(folder[keyPath: file], Int(half)) == 0)
                let error = #expect(throws: SystemError.self) { try ImportedGuest(dump, tracker: .software) }
                #expect("\(error!)".contains("\(folder[keyPath: file]) at byte \(half)"), "\(error!)")
            }
        }

        @Test func `An invalid behaviour is refused before anything is read`() throws {
            let folder = try files(ramBytes: 16 << 20, flagBytes: 32 << 10)
            let dump = try MachineDump(ram: folder.ram, pageFlags: folder.flags)
            var behaviour = GuestBehaviour()
            behaviour.vcpus = 65
            #expect(throws: ModelGuestConfiguration.Invalid.self) { try ImportedGuest(dump, behaviour: behaviour) }
        }
    }
}

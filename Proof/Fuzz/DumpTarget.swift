import AerostatGuestMemory
import AerostatModelGuest

/// The memory of a machine and its page flags, for import: 16 MiB in two files, mostly holes.
///
/// The input is a byte that says how long the files are (mostly right), and then runs of frames: how many (16 bits), and a byte of which
/// bit 0 says that Linux had them free, bit 1 that the first of them are in the file, and the rest what they hold.
enum DumpTarget: FuzzTarget {
    private static let frames = 4096
    private static let blockFrames = 1024
    /// Pages written for each run.
    private static let writtenFrames = 4
    /// Other bits than BUDDY say nothing about a page being free.
    private static let (freeWord, usedWord) = (littleEndian(UInt64(1 << 10)), littleEndian(~UInt64(1 << 10)))
    private static let ram = ScratchFile()
    private static let flags = ScratchFile()

    static func run(_ input: [UInt8]) {
        var input = FuzzInput(input)
        let shape: UInt8 = input.take()
        var (ramBytes, flagBytes) = (frames << 12, frames * 8)
        if shape < 16 { (ramBytes, flagBytes) = (Int(input.take(UInt32.self)) << 10, Int(input.take(UInt32.self))) }
        if shape < 64 { flagBytes += Int(input.take(UInt16.self)) * 8 }
        ram.reset(byteCount: ramBytes)
        flags.reset(byteCount: flagBytes)
        var machine = [Frame](repeating: Frame(), count: frames)
        var frame = 0
        while frame < frames, input.remaining > 0 {
            let (count, kind) = (Int(input.take(UInt16.self)) % 1500 + 1, input.take(UInt8.self))
            let end = min(frame + count, frames)
            for index in frame..<end { machine[index].isFree = kind & 1 != 0 }
            for index in frame..<min(end, frame + writtenFrames) where kind & 2 != 0 && (index + 1) << 12 <= ramBytes {
                ram.write([kind >> 2], at: index << 12 + Int(kind) << 4)
                (machine[index].isInFile, machine[index].isZero) = (true, kind >> 2 == 0)
            }
            frame = end
        }
        var words: [UInt8] = []
        for frame in machine { words += frame.isFree ? freeWord : usedWord }
        flags.write(Array(words.prefix(flagBytes)), at: 0)
        // The rest are flags of frames behind RAM.
        let surplus = input.take(atMost: max(0, flagBytes - frames * 8))
        if shape >= 16 { flags.write(surplus, at: frames * 8) }
        importMachine(shape >= 16 ? machine : nil)
    }

    private struct Frame {
        var isFree = false
        var isZero = true
        var isInFile = false
    }

    /// - Parameter machine: what must be found where the files are taken at all; `nil` where their lengths are anything.
    private static func importMachine(_ machine: [Frame]?) {
        guard let dump = try? MachineDump(ram: ram.path, pageFlags: flags.path), dump.ramBytes <= UInt64(frames << 12) else { return }
        let imported: ImportedGuest
        do { imported = try ImportedGuest(dump, tracker: .software) } catch {
            demand(false, "a machine whose files were taken is imported: \(error)")
            return
        }
        let result = try? imported.guest.check()
        demand(result?.isClean == true, "an imported guest is sound: \(String(describing: result))")
        guard let machine else { return }
        var expected = MachineDump.Summary()
        expected.frames = frames
        expected.free = machine.count { $0.isFree }
        expected.zero = machine.count { $0.isZero }
        expected.holes = machine.count { !$0.isInFile }
        expected.usedData = machine.count { !$0.isFree && !$0.isZero }
        for block in stride(from: 0, to: frames, by: blockFrames) where machine[block..<block + blockFrames].allSatisfy(\.isFree) {
            expected.freeTopOrder += blockFrames
        }
        demand(imported.summary == expected, "the summary counts the machine's frames: \(imported.summary), and \(expected) is right")
    }
}

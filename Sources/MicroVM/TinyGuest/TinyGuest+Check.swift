package import AerostatGuestMemory
import CTinyGuest

// What a tiny guest's memory must hold, wherever its vCPUs were stopped. Any copy of its memory can be checked.
extension TinyGuest {
    /// What the guest records about itself.
    package struct Record: Hashable, Sendable {
        /// For each vCPU: its round, from 1 on, and how many pages it has written in that round.
        package var progress: [Progress]
        package var hasBalloon: Bool
        /// The last command id that it read.
        package var seenID: UInt32
        package var answeredID: UInt32
        /// How many commands it answered.
        package var answers: UInt32
        /// Whether it waits for DONE.
        package var holdsBlocks: Bool
        package var hasEntropy: Bool
        /// Requests for random numbers that were answered, and the first words of the answers, exclusive or.
        package var entropyAnswers: UInt32
        package var entropyMixed: UInt64
        /// The id in the start command's buffer.
        var startedID: UInt32
    }

    package struct Progress: Hashable, Comparable, Sendable {
        package let round: UInt64
        package let pages: UInt64

        package static func < (left: Self, right: Self) -> Bool { (left.round, left.pages) < (right.round, right.pages) }
    }

    package func record(in memory: GuestRAM) throws(AccessError) -> Record {
        var progress: [Progress] = []
        for vcpu in 0..<vcpus {
            let word: UInt64 = try memory.load(at: GuestAddress(Self.record + UInt64(vcpu * 8)))
            progress.append(Progress(round: word >> 32, pages: word & 0xFFFF_FFFF))
        }
        func field(_ offset: Int32) throws(AccessError) -> UInt32 { try memory.load(at: GuestAddress(Self.record + UInt64(offset))) }
        return Record(
            progress: progress,
            hasBalloon: try field(TINY_HAS_BALLOON) != 0,
            seenID: try field(TINY_SEEN_ID),
            answeredID: try field(TINY_ANSWERED_ID),
            answers: try field(TINY_ROUNDS),
            holdsBlocks: try field(TINY_HOLDS) != 0,
            hasEntropy: try field(TINY_HAS_ENTROPY) != 0,
            entropyAnswers: try field(TINY_ENTROPY_ANSWERS),
            entropyMixed: try memory.load(at: GuestAddress(Self.record + UInt64(TINY_ENTROPY_MIXED))),
            startedID: try field(TINY_START_COMMAND)
        )
    }

    /// What is wrong in the memory of a paused guest. Empty if nothing is.
    ///
    /// The check is exact. A page holds what its vCPU wrote in this round or, beyond the vCPU's position, in the round before. Only the
    /// page that the vCPU was about to write may hold parts of both.
    package func faults(in memory: GuestRAM) throws(AccessError) -> [String] {
        let record = try record(in: memory)
        var faults: [String] = []
        for page in 0..<pages {
            let progress = record.progress[page % vcpus]
            let turn = UInt64(page / vcpus)
            // A vCPU that has not begun is in round 0. So is a page that was never written.
            var allowed: [UInt64] = progress.round == 0 || turn <= progress.pages ? [progress.round] : []
            if progress.round > 0, turn >= progress.pages { allowed.append(progress.round - 1) }
            let words = try load(memory, Self.pattern + UInt64(page * GuestPage.size))
            if !isWritten(words, UInt64(page), by: allowed) { faults.append("page \(page): \(words), where \(progress) allows \(allowed)") }
        }
        for block in 0..<(record.hasBalloon ? reusedBlocks : 0) where record.startedID != 0 {
            let words = try load(memory, free + UInt64(block * blockBytes))
            let allowed = [UInt64(record.startedID), UInt64(record.answeredID)]
            // Before the first answer is complete, a block may have its old content.
            guard record.answeredID != 0 else { continue }
            if !isWritten(words, UInt64(block), by: allowed) { faults.append("block \(block): \(words), where commands are \(allowed)") }
        }
        return faults
    }

    /// The number, the round, and the two copies of the check word.
    private func load(_ memory: GuestRAM, _ address: UInt64) throws(AccessError) -> [UInt64] {
        var words: [UInt64] = []
        for offset in [0, 8, 16, 4088] as [UInt64] { words.append(try memory.load(at: GuestAddress(address + offset))) }
        return words
    }

    /// Whether each word was written in one of the rounds. Round 0 wrote zeros.
    private func isWritten(_ words: [UInt64], _ number: UInt64, by rounds: [UInt64]) -> Bool {
        let versions = rounds.map { round -> [UInt64] in
            let check = (round &* 0x9E37_79B9_7F4A_7C15 &+ number) ^ seed
            return round == 0 ? [0, 0, 0, 0] : [number, round, check, check]
        }
        return words.indices.allSatisfy { index in versions.contains { $0[index] == words[index] } }
    }
}

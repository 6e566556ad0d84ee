/// One entry of mem_map, 16 bytes of guest RAM: what a frame is.
///
/// Only the record of a block's first frame, its head, describes the block. The records after it are `inside`. Each record also carries
/// what is known of its own page's content: nothing, a stamp (the kernel wrote it), the checksum of an opaque page (it came with an
/// imported machine), or that it holds poison (the kernel filled it when it was freed).
///
/// Zeros are a valid record: inside, never stamped.
package struct FrameRecord: BitwiseCopyable, Hashable, Sendable {
    package enum State: UInt8, Sendable {
        /// Not the head of a block.
        case inside = 0
        case free = 1
        case allocated = 2
        /// A block of the top order that the balloon driver holds.
        case held = 3
        /// Holds the kernel's own tables. Recorded only in the block in which the tables end.
        case table = 4
        /// One page that the host has: the balloon's. Its content is nobody's.
        case ballooned = 5
        /// Free, and out of the allocator while the host is told of it.
        case isolated = 6
    }

    /// Bits 0-7 state, 8-15 order, 16 stamped, 17 opaque, 18 poisoned, 19 reported.
    package private(set) var word: UInt32 = 0
    /// Counts the rewrites of the page, and is kept when the block is freed. For an opaque page: the CRC-32C of its content.
    package private(set) var generation: UInt32 = 0
    /// Links of the list that the head is on. 0 ends it: frame 0 is the boot header, so no list can hold it.
    package var next: UInt32 = 0
    package var previous: UInt32 = 0

    private static let stampedBit: UInt32 = 1 << 16
    private static let opaqueBit: UInt32 = 1 << 17
    private static let poisonedBit: UInt32 = 1 << 18
    private static let reportedBit: UInt32 = 1 << 19
    private static let contentBits = stampedBit | opaqueBit | poisonedBit
    private static let stateBits = ~(contentBits | reportedBit)

    /// Returns `nil` if the bits make no sense.
    package var head: (state: State, order: Int)? {
        let order = Int(word >> 8 & 0xFF)
        guard order <= KernelLayout.topOrder, let state = State(rawValue: UInt8(truncatingIfNeeded: word)) else { return nil }
        return (state, order)
    }

    package var isStamped: Bool { word & Self.stampedBit != 0 }

    /// Whether the page holds content that the guest did not write.
    package var isOpaque: Bool { word & Self.opaqueBit != 0 }

    /// Whether the page was filled when it was freed, and has not been written since.
    package var isPoisoned: Bool { word & Self.poisonedBit != 0 }

    /// Of a free block's head: the host was told of it since it became free.
    package var isReported: Bool { word & Self.reportedBit != 0 }

    /// Until the block is allocated, split or merged: whatever makes the record a head says it anew.
    mutating func setReported() { word |= Self.reportedBit }

    /// How often the page was written, ever. The arrival of an opaque page counts as its first write. So its record counts in the sum that
    /// finds lost records, although its generation is not a count.
    var writes: UInt32 { isOpaque ? 1 : generation }

    /// Records that the page's content came from elsewhere.
    mutating func setOpaque(checksum: UInt32) {
        word = word & ~Self.stampedBit | Self.opaqueBit
        generation = checksum
    }

    /// Records that the page gets the content of its next generation.
    mutating func stamp() {
        generation = writes &+ 1
        word = word & ~Self.contentBits | Self.stampedBit
    }

    /// Records that the page's content no longer matters. The count of its writes continues.
    mutating func forgetContent(isPoisoned: Bool) {
        generation = writes
        word = word & ~Self.contentBits | (isPoisoned ? Self.poisonedBit : 0)
    }

    /// Makes the record a head, or not a head. What it says about the content stays.
    package mutating func setHead(_ state: State, order: Int) {
        word = word & Self.contentBits | UInt32(state.rawValue) | UInt32(order) << 8
    }

    func isHead(_ state: State, order: Int) -> Bool { Self.isHead(word, state, order: order) }

    /// The same for a record's word alone.
    static func isHead(_ word: UInt32, _ state: State, order: Int) -> Bool {
        word & stateBits == UInt32(state.rawValue) | UInt32(order) << 8
    }
}

/// A doubly linked list of blocks in guest RAM. The links are in the records of the blocks' heads.
package struct FrameList: BitwiseCopyable, Hashable, Sendable {
    /// Frames; 0 if the list is empty.
    package var first: UInt64 = 0
    package var last: UInt64 = 0
    package var blocks: UInt64 = 0
    package var pages: UInt64 = 0
}

extension KernelMemory {
    /// Checks a frame number that came from RAM.
    /// - Returns: `nil` for the end of a list.
    func frame(_ link: UInt64) throws(KernelPanic) -> Int? {
        if link == 0 { return nil }
        guard link < UInt64(layout.pageCount), layout.isUsable(frame: Int(link)) else {
            throw KernelPanic("a list leads to frame \(link), which is not allocatable memory")
        }
        return Int(link)
    }

    /// The order of a block. Its head must be in this state.
    func order(of frame: Int, _ state: FrameRecord.State) throws(KernelPanic) -> Int {
        guard let head = record(of: frame).head, head.state == state, frame & (1 << head.order - 1) == 0 else {
            throw KernelPanic("frame \(frame) should be the head of a block that is \(state)")
        }
        return head.order
    }

    func append(_ frame: Int, order: Int, to list: inout FrameList) throws(KernelPanic) {
        var record = record(of: frame)
        record.next = 0
        record.previous = UInt32(truncatingIfNeeded: list.last)
        setRecord(record, of: frame)
        if let last = try self.frame(list.last) {
            var neighbour = self.record(of: last)
            neighbour.next = UInt32(frame)
            setRecord(neighbour, of: last)
        } else {
            list.first = UInt64(frame)
        }
        list.last = UInt64(frame)
        list.blocks &+= 1
        list.pages &+= 1 << UInt64(order)
    }

    /// Puts a block in front: the last one to be allocated.
    func prepend(_ frame: Int, order: Int, to list: inout FrameList) throws(KernelPanic) {
        guard let first = try self.frame(list.first) else { return try append(frame, order: order, to: &list) }
        var record = record(of: frame)
        record.next = UInt32(first)
        record.previous = 0
        setRecord(record, of: frame)
        var neighbour = self.record(of: first)
        neighbour.previous = UInt32(frame)
        setRecord(neighbour, of: first)
        list.first = UInt64(frame)
        list.blocks &+= 1
        list.pages &+= 1 << UInt64(order)
    }

    package func remove(_ frame: Int, order: Int, from list: inout FrameList) throws(KernelPanic) {
        var record = record(of: frame)
        let previous = try self.frame(UInt64(record.previous))
        let next = try self.frame(UInt64(record.next))
        if let previous {
            var neighbour = self.record(of: previous)
            neighbour.next = record.next
            setRecord(neighbour, of: previous)
        } else {
            list.first = UInt64(record.next)
        }
        if let next {
            var neighbour = self.record(of: next)
            neighbour.previous = record.previous
            setRecord(neighbour, of: next)
        } else {
            list.last = UInt64(record.previous)
        }
        record.next = 0
        record.previous = 0
        setRecord(record, of: frame)
        list.blocks &-= 1
        list.pages &-= 1 << UInt64(order)
    }
}

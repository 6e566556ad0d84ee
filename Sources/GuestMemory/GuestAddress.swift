/// A byte address in the guest's physical memory.
public struct GuestAddress: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The address `bytes` further on; `nil` if it is past the end of the 64-bit space.
    public func advanced(by bytes: UInt64) -> GuestAddress? {
        let (sum, overflow) = rawValue.addingReportingOverflow(bytes)
        return overflow ? nil : GuestAddress(sum)
    }

    public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// The unit of tracking and transfer.
public enum GuestPage {
    /// Bytes in a page. The stream states this size, and a host with another size is refused there.
    public static let size = 4096
    /// The binary logarithm of the size.
    public static let shift = 12
}

/// The number of a page of guest memory. The regions are counted end to end, so indices are dense and start at 0.
public struct PageIndex: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: Int

    @inlinable public init(rawValue: Int) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: Int) { self.rawValue = rawValue }

    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    /// The page that is `count` pages further on.
    @inlinable public static func + (page: Self, count: Int) -> Self { Self(page.rawValue + count) }

    public var description: String { "page \(rawValue)" }
}

/// One or more consecutive pages. A run may cross from one region into the next.
public struct PageRun: Hashable, Sendable, CustomStringConvertible {
    public let first: PageIndex
    /// The number of pages; more than zero.
    public let count: Int

    @inlinable
    public init(first: PageIndex, count: Int) {
        precondition(first.rawValue >= 0 && count > 0, "a run has at least one page")
        self.first = first
        self.count = count
    }

    /// The page after the last.
    @inlinable public var end: PageIndex { first + count }
    @inlinable public var byteCount: Int { count << GuestPage.shift }
    @inlinable public var indices: Range<Int> { first.rawValue..<first.rawValue + count }

    /// The run, cut into parts of at most `pages` pages.
    package func slices(ofAtMost pages: Int) -> [PageRun] {
        stride(from: 0, to: count, by: pages).map { PageRun(first: first + $0, count: min(pages, count - $0)) }
    }

    public var description: String { count == 1 ? "\(first)" : "pages \(first.rawValue)..<\(end.rawValue)" }
}

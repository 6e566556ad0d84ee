/// Maps ranges of ports or addresses to their owners. Ranges do not overlap. A look-up is a binary search.
package struct RangeMap<Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        let range: Range<UInt64>
        let value: Value
    }

    /// Sorted by their beginnings.
    private var entries: [Entry] = []

    package init() {}

    /// - Precondition: the range is not empty, and overlaps no other.
    package mutating func insert(_ range: Range<UInt64>, _ value: Value) {
        precondition(!range.isEmpty, "an empty range")
        let index = position(of: range.lowerBound)
        for neighbour in entries[max(0, index - 1)..<min(entries.count, index + 1)] {
            precondition(!neighbour.range.overlaps(range), "\(range) overlaps \(neighbour.range)")
        }
        entries.insert(Entry(range: range, value: value), at: index)
    }

    /// The owner of a place, and the distance from the beginning of its range.
    package func find(_ place: UInt64) -> (value: Value, offset: UInt64)? {
        let index = position(of: place) - 1
        guard index >= 0, entries[index].range.contains(place) else { return nil }
        return (entries[index].value, place - entries[index].range.lowerBound)
    }

    /// How many ranges begin at or before a place.
    private func position(of place: UInt64) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].range.lowerBound <= place { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

import AerostatGuestMemory
import AerostatVirtio

/// Pages that the device itself uses. They are never given back, whatever the driver says: the device cannot work without its rings.
struct OwnPages: Sendable {
    /// Ascending, with gaps between them.
    private var ranges: [Range<Int>] = []

    init() {}

    /// The pages of these rings.
    init(rings: [VirtqueueLayout], _ regions: RegionTable) {
        for ring in rings {
            for (area, address) in [
                (VirtqueueArea.descriptorTable, ring.descriptorTable), (.driverArea, ring.driverArea), (.deviceArea, ring.deviceArea),
            ] {
                add(address, byteCount: VirtqueueLayout.byteCount(area, size: ring.size), regions)
            }
        }
        join()
    }

    /// These pages and those of a chain's segments.
    func with(_ segments: ArraySlice<VirtqueueSegment>, _ regions: RegionTable) -> OwnPages {
        var result = self
        for segment in segments { result.add(segment.address, byteCount: Int(segment.length), regions) }
        result.join()
        return result
    }

    private mutating func add(_ address: GuestAddress, byteCount: Int, _ regions: RegionTable) {
        guard byteCount > 0, let offset = regions.offset(of: address, byteCount: byteCount) else { return }
        ranges.append(offset >> GuestPage.shift..<(offset + byteCount - 1) >> GuestPage.shift + 1)
    }

    private mutating func join() {
        ranges.sort { $0.lowerBound < $1.lowerBound }
        var joined: [Range<Int>] = []
        for range in ranges {
            if let last = joined.last, range.lowerBound <= last.upperBound {
                joined[joined.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                joined.append(range)
            }
        }
        ranges = joined
    }

    /// The index of the first range that ends after a page.
    private func index(behind page: Int) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound <= page { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func contains(_ page: PageIndex) -> Bool {
        let index = index(behind: page.rawValue)
        return index < ranges.count && ranges[index].contains(page.rawValue)
    }

    /// The parts of a run that are not own pages.
    func rest(of run: PageRun) -> [PageRun] {
        var rest: [PageRun] = []
        var first = run.first.rawValue
        for range in ranges[index(behind: first)...] {
            guard range.lowerBound < run.end.rawValue else { break }
            if first < range.lowerBound { rest.append(PageRun(first: PageIndex(first), count: range.lowerBound - first)) }
            first = range.upperBound
        }
        if first < run.end.rawValue { rest.append(PageRun(first: PageIndex(first), count: run.end.rawValue - first)) }
        return rest
    }
}

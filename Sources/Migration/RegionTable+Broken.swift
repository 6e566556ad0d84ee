#if BrokenEngines
    import AerostatGuestMemory
    import AerostatHost

    extension RegionTable {
        /// Which pages a block covers, as a broken engine sees it; see `BrokenEngine`.
        func brokenPages(at address: GuestAddress, byteCount: UInt64) -> WholePages {
            var whole = wholePages(at: address, byteCount: byteCount)
            guard byteCount > 0, let first = page(containing: address) else { return whole }
            if BrokenEngine.isActive(.ignoresRegionEnds) {
                // Host memory goes on behind the region's end; the guest's does not.
                let count = min(Int(clamping: byteCount >> UInt64(GuestPage.shift)), pageCount - first.rawValue)
                if count > 0, address.rawValue % UInt64(GuestPage.size) == 0 { whole.runs = [PageRun(first: first, count: count)] }
            }
            let last = address.advanced(by: byteCount - 1).flatMap { page(containing: $0) }
            if BrokenEngine.isActive(.roundsOutward), let last {
                whole.runs = [PageRun(first: first, count: last.rawValue - first.rawValue + 1)]
            }
            return whole
        }
    }

    extension Array {
        /// Empties it and returns what it held.
        mutating func extractAll() -> [Element] {
            defer { removeAll() }
            return self
        }
    }
#endif

/// The state of a balloon, in words.
package enum BalloonText {
    /// What `aerostat balloon` prints.
    /// - Parameter splitHugePages: 0 if there are none, or nobody asked.
    package static func lines(_ info: BalloonInfo, splitHugePages: Int = 0) -> [String] {
        var lines = [
            row("target", "\(Figures.size(info.target)) of \(Figures.size(info.maximum))"),
            row("actual", "\(Figures.size(info.actual))\(way(info))"),
            row("balloon", "\(Figures.size(info.ballooned)) in it; \(Figures.size(info.givenBack)) given back to the host so far"),
        ]
        if info.cleared > 0 {
            lines.append(row("kept", "\(Figures.size(info.cleared)) were filled with zeros and not given back: parts of huge pages"))
        }
        if splitHugePages > 0 {
            lines.append(row("huge pages", "\(Figures.count(splitHugePages)) of 2 MiB are partly in the balloon, and lost to the host"))
        }
        if let inhibited = info.inhibited { lines.append(row("inhibited", inhibited)) }
        if let waitsFor = info.waitsFor { lines.append(row("waits", waitsFor)) }
        let refused = mistakes.compactMap { name, words in info.counters[name].map { "\(Figures.count($0)) \(words)" } }
        if !refused.isEmpty { lines.append(row("refused", refused.joined(separator: ", "))) }
        return lines
    }

    /// Counters that stay 0 with a correct driver.
    private static let mistakes = [
        ("outside-pages", "pages outside RAM"), ("absent-pages", "pages of absent memory"), ("own-pages", "pages of its own rings"),
        ("repeated-pages", "pages named twice"), ("unknown-pages", "pages taken out that were not in the balloon"),
        ("refused-reports", "reports that are not whole pages in RAM"), ("unreadable-segments", "buffers outside RAM"),
        ("wrong-way-segments", "buffers for the other direction"), ("odd-bytes", "odd bytes"), ("surplus-bytes", "bytes too many"),
        ("refused-writes", "writes to fields that are not the driver's"),
    ]

    private static func way(_ info: BalloonInfo) -> String {
        let rest = info.actual - info.target
        if rest == 0 { return ", as asked" }
        return rest > 0 ? ", \(Figures.size(rest)) still to give up" : ", \(Figures.size(-rest)) still to take back"
    }

    private static func row(_ name: String, _ text: String) -> String {
        name + String(repeating: " ", count: max(1, 12 - name.count)) + text
    }
}

/// A guest's memory statistics as a table.
package enum MemoryStatsText {
    /// The names of `virsh dommemstat`, and what they mean.
    private static let rows: [(GuestStatisticsReply.Figure, name: String, meaning: String, isSize: Bool)] = [
        (.totalMemory, "available", "memory that the guest's kernel manages", true),
        (.availableMemory, "usable", "what applications could get without swapping", true),
        (.freeMemory, "unused", "memory that is not used at all", true),
        (.diskCaches, "disk_caches", "page cache, which the guest can drop", true),
        (.swapIn, "swap_in", "read from swap since boot", true),
        (.swapOut, "swap_out", "written to swap since boot", true),
        (.majorFaults, "major_fault", "page faults that needed the disk", false),
        (.minorFaults, "minor_fault", "page faults that needed no disk", false),
        (.hugePageAllocations, "hugetlb_pgalloc", "huge pages allocated", false),
        (.hugePageFailures, "hugetlb_pgfail", "huge pages that could not be allocated", false),
        (.outOfMemoryKills, "oom_kills", "processes killed for lack of memory", false),
        (.allocationStalls, "alloc_stalls", "allocations that waited for reclaim", false),
        (.asynchronousScans, "async_scans", "scanned in the background (kswapd)", true),
        (.directScans, "direct_scans", "scanned by threads that needed memory", true),
        (.asynchronousReclaims, "async_reclaims", "reclaimed in the background (kswapd)", true),
        (.directReclaims, "direct_reclaims", "reclaimed by threads that needed memory", true),
    ]

    /// What `aerostat memory-stats` prints.
    package static func table(_ reply: GuestStatisticsReply, _ balloon: BalloonInfo) -> [String] {
        var lines = [line("actual", Figures.size(balloon.actual), "what the balloon leaves the guest")]
        for (figure, name, meaning, isSize) in rows {
            guard let value = reply.figures[figure] else { continue }
            let number = Int(clamping: value)
            lines.append(line(name, isSize ? Figures.size(number) : Figures.count(number), meaning))
        }
        let age = reply.lastUpdate == 0 ? "the guest's driver has not answered" : "when the guest last answered, in seconds since 1970"
        lines.append(line("last_update", "\(reply.lastUpdate)", age))
        return lines
    }

    private static func line(_ name: String, _ value: String, _ meaning: String) -> String {
        let name = name + String(repeating: " ", count: max(1, 17 - name.count))
        return name + String(repeating: " ", count: max(0, 12 - value.count)) + value + "   " + meaning
    }
}

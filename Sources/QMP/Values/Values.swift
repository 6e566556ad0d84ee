/// Parses what people type: sizes, rates, times and shares. Each function can be the `transform` of a command's option.
package enum Values {
    /// A size in bytes: a number with K, M, G or T, which are powers of 1024 as in QEMU and virsh, or with KiB, MiB, GiB or TiB; decimals
    /// are allowed; or plain bytes. GB is refused, because some people take it for 1000 MB and others for 1024.
    package static func size(_ text: String) throws(ValueError) -> Int {
        let units = [("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)]
        let form = "a size is a number with K, M, G or T, also as KiB, MiB, GiB or TiB, powers of 1024 (4G); or plain bytes"
        return try read(text, units: units.map { ($0.0 + "ib", $0.1) } + units + [("", 1)], form: form)
    }

    /// A rate in bytes a second; 0 for no limit. It is typed in bits a second with k, M or G (powers of 1000), or as Mbit, Mbit/s or Mbps.
    /// - Parameter minimum: the smallest rate other than 0, in bytes a second.
    package static func rate(_ text: String, minimum: Int = 1) throws(ValueError) -> Int {
        let prefixes = [("k", 1000), ("m", 1_000_000), ("g", 1_000_000_000), ("", 1)]
        let units = ["bit/s", "bit", "bps", ""].flatMap { unit in prefixes.map { ($0.0 + unit, $0.1) } }
        let form = "a rate is a number of bits a second with k, M or G, also as Mbit/s or Mbps (8G); 0 is no limit"
        // Many people read GBps as bytes.
        if text.contains("Bp") || text.contains("BP") { throw ValueError(text, form) }
        let bits = try read(text, units: units, form: form)
        let isZero = !text.contains { ("1"..."9").contains($0) }
        guard isZero || bits >= minimum * 8 else {
            let least = minimum * 8 < 1000 ? "\(minimum * 8) bit/s" : Figures.decimal(Double(minimum * 8) / 1000, digits: 3) + " kbit/s"
            throw ValueError(text, "less than \(least), the minimum; 0 is no limit")
        }
        return bits / 8
    }

    /// A time: a number with ms or s, decimals allowed.
    package static func duration(_ text: String, maximum: Duration = .nanoseconds(Int.max)) throws(ValueError) -> Duration {
        let units = [("ms", 1_000_000), ("s", 1_000_000_000)]
        let time = Duration.nanoseconds(try read(text, units: units, form: "a time is a number with ms or s (300ms, 1.5s)"))
        guard time <= maximum else { throw ValueError(text, "more than \(maximum.components.seconds)s") }
        return time
    }

    /// A share from 0 to 1, typed as a percentage; decimals are allowed.
    package static func percentage(_ text: String) throws(ValueError) -> Double {
        let millionths = try read(text, units: [("%", 1_000_000)], form: "a share is a percentage (10%)")
        guard millionths <= 100_000_000 else { throw ValueError(text, "more than 100%") }
        return Double(millionths) / 100_000_000
    }

    /// Reads `digits[.digits]unit` exactly. The unit may be in upper or lower case. Digits below the smallest fraction of the unit are cut
    /// off.
    private static func read(_ text: String, units: [(name: String, factor: Int)], form: String) throws(ValueError) -> Int {
        // Some characters beyond ASCII have one of these letters as their lower case.
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else { throw ValueError(text, form) }
        let lower = text.lowercased()
        // A unit that is the end of another one comes after it in the list. The empty unit fits any text and comes last.
        guard let unit = units.first(where: { lower.hasSuffix($0.name) }) else { throw ValueError(text, form) }
        let parts = lower.dropLast(unit.name.count).split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } }),
            let whole = parts.first, parts.count == 1 || unit.factor > 1
        else { throw ValueError(text, form) }
        guard let count = Int(whole) else { throw ValueError(text, "too large") }
        let (product, overflows) = count.multipliedReportingOverflow(by: unit.factor)
        let decimals = (parts.count > 1 ? parts[1] : "0").prefix(maximumDecimals)
        let scale = decimals.reduce(Int128(1)) { scale, _ in scale * 10 }
        let fraction = Int(Int128(decimals)! * Int128(unit.factor) / scale)
        let (sum, carries) = product.addingReportingOverflow(fraction)
        if overflows || carries { throw ValueError(text, "too large") }
        return sum
    }

    private static let maximumDecimals = 9
}

/// A text that is not a valid value.
package struct ValueError: Error, Hashable, Sendable, CustomStringConvertible {
    package let text: String
    package let reason: String

    package init(_ text: String, _ reason: String) {
        self.text = text
        self.reason = reason
    }

    package var description: String { "'\(text)': \(reason)" }
}

/// Formats numbers for people.
package enum Figures {
    /// "1.50 GiB"
    package static func size(_ bytes: Int) -> String {
        scaled(Double(bytes), by: 1024, units: ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"])
    }

    /// "9.87 Gbit/s"
    package static func rate(bytesPerSecond: Double) -> String {
        scaled(bytesPerSecond * 8, by: 1000, units: ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
    }

    /// "12 ms", "3.4 s", "5 min 20 s"
    package static func time(milliseconds: Double) -> String {
        switch milliseconds {
        case ..<1000: decimal(milliseconds, digits: milliseconds < 10 ? 1 : 0) + " ms"
        case ..<60_000: decimal(milliseconds / 1000, digits: milliseconds < 10_000 ? 2 : 1) + " s"
        default: "\(Int(clamped(milliseconds / 60_000))) min \(Int(clamped(milliseconds / 1000)) % 60) s"
        }
    }

    /// "1,234,567"
    package static func count(_ value: Int) -> String {
        var text = ""
        let digits = String(value.magnitude)
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return value < 0 ? "-" + text : text
    }

    /// With a fixed number of digits after the point.
    package static func decimal(_ value: Double, digits: Int) -> String {
        let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
        let rounded = Int((clamped(value) * scale).rounded())
        if digits == 0 { return String(rounded) }
        let fraction = String(rounded.magnitude % UInt(scale))
        let sign = rounded < 0 ? "-" : ""
        return sign + String(rounded.magnitude / UInt(scale)) + "." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    private static func scaled(_ value: Double, by step: Double, units: [String]) -> String {
        var value = value
        var unit = 0
        while abs(value) >= step, unit < units.count - 1 {
            value /= step
            unit += 1
        }
        let digits = unit == 0 ? 0 : abs(value) < 10 ? 2 : abs(value) < 100 ? 1 : 0
        return decimal(value, digits: digits) + " " + units[unit]
    }

    /// A number that came over a socket may be anything.
    private static func clamped(_ value: Double) -> Double { value.isNaN ? 0 : min(max(value, -1e15), 1e15) }
}

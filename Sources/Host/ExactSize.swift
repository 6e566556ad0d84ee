/// A number of bytes for people, not rounded: "64 MiB", or "100000001 bytes" if it is not a whole number of a unit.
public func exactSize(_ bytes: UInt64) -> String {
    let unit = min(bytes.trailingZeroBitCount / 10, unitNames.count - 1)
    guard bytes > 0, unit > 0 else { return "\(bytes) bytes" }
    return "\(bytes >> (UInt64(unit) * 10)) \(unitNames[unit])"
}

private let unitNames = ["bytes", "KiB", "MiB", "GiB", "TiB"]

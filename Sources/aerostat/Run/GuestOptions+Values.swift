import AerostatGuestMemory
import AerostatHost
import AerostatModelGuest
import AerostatQMP
import ArgumentParser

// How the options' values are parsed, and how they depend on each other. Refusals name the options and quote the text as typed.
extension GuestOptions {
    static func memory(_ text: String) throws -> Int {
        let bytes = try size(text, in: UInt64(GuestPage.size)...RegionTable.maximumBytes)
        guard bytes % GuestPage.size == 0 else {
            throw ValidationError("'\(text)': not a whole number of pages of \(GuestPage.size) bytes")
        }
        return bytes
    }

    static func writeRate(_ text: String) throws -> Int {
        try size(text, in: UInt64(GuestPage.size)...UInt64(ModelGuestConfiguration.maximumRate))
    }

    static func workingSet(_ text: String) throws -> Int { try size(text, in: UInt64(GuestPage.size)...RegionTable.maximumBytes) }

    private static func size(_ text: String, in range: ClosedRange<UInt64>) throws -> Int {
        let bytes = try Values.size(text)
        guard range.contains(UInt64(bytes)) else {
            throw ValidationError("'\(text)': it must be from \(exactSize(range.lowerBound)) to \(exactSize(range.upperBound))")
        }
        return bytes
    }

    static func addresses(_ text: String) throws -> Range<UInt64> {
        let ends = try text.split(separator: "-", omittingEmptySubsequences: false).map { UInt64(try Values.size(String($0))) }
        guard ends.count == 2, ends[0] < ends[1] else { throw ValidationError("'\(text)': a hole is two addresses, such as 3GiB-4GiB") }
        guard ends.allSatisfy({ $0 % UInt64(GuestPage.size) == 0 }) else {
            throw ValidationError("'\(text)': a hole begins and ends with a whole page of \(GuestPage.size) bytes")
        }
        return ends[0]..<ends[1]
    }

    static func word(_ text: String) throws -> UInt32 {
        let number = text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
        guard let number else { throw ValidationError("'\(text)': a word is a number of 32 bits, such as 0 or 0xaaaaaaaa") }
        return number
    }

    /// A share in the form that `Values.percentage` reads.
    static func text(_ share: Double) -> String { Figures.decimal(share * 100, digits: 6) + "%" }

    /// A time in the form that `Values.duration` reads, to the nanosecond.
    static func text(_ time: Duration) -> String {
        let (seconds, attoseconds) = time.components
        let digits = String(attoseconds / 1_000_000_000)
        return "\(seconds).\(String(repeating: "0", count: 9 - digits.count))\(digits)s"
    }

    /// Which shares of RAM are used, and were used once. If only one was given, the other's default is reduced to fit.
    func shares(_ defaults: ModelGuestConfiguration) throws -> (used: Double, freed: Double) {
        if let used, let freed, used + freed > 1 {
            throw ValidationError(
                "--used \(Self.short(used)) and --freed \(Self.short(freed)) are more than 100% of the guest's RAM together"
            )
        }
        let used = used ?? min(defaults.usedShare, 1 - (freed ?? 0))
        return (used, freed ?? min(defaults.freedShare, 1 - used))
    }

    /// The share without trailing zeros.
    private static func short(_ share: Double) -> String {
        var digits = text(share).dropLast()
        while digits.last == "0" { digits = digits.dropLast() }
        return (digits.last == "." ? digits.dropLast() : digits) + "%"
    }

    /// Checks the options for what a new guest does.
    func checkBehaviour() throws {
        try checkWorkload(absence: "without it the guest is idle")
        if let vcpus, !(1...ModelGuestConfiguration.maximumVCPUs).contains(vcpus) {
            throw ValidationError("--vcpus must be from 1 to \(ModelGuestConfiguration.maximumVCPUs), not \(vcpus)")
        }
        if poison != nil, initOnAlloc {
            throw ValidationError(
                "--poison and --init-on-alloc exclude each other: memory is filled when it is freed, or cleared when it is allocated"
            )
        }
    }
}

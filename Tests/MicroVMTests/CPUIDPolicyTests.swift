import AerostatMicroVM
import TestSupport
import Testing

/// What KVM could report on two hosts.
enum SyntheticProcessor {
    static let intel: (UInt32, UInt32, UInt32) = (0x756E_6547, 0x4965_6E69, 0x6C65_746E)
    static let amd: (UInt32, UInt32, UInt32) = (0x6874_7541, 0x6974_6E65, 0x444D_4163)

    /// Every bit of every feature register is set.
    static func all(_ vendor: (ebx: UInt32, edx: UInt32, ecx: UInt32), filler: UInt32 = .max) -> [CPUIDEntry] {
        func entry(_ function: UInt32, _ index: UInt32 = 0) -> CPUIDEntry {
            CPUIDEntry(function: function, index: index, flags: 1, eax: filler, ebx: filler, ecx: filler, edx: filler)
        }
        var leaves =
            (0...0x20).map { entry($0) } + (0x4000_0000...0x4000_0001).map { entry($0) } + (0x8000_0000...0x8000_0028).map { entry($0) }
        leaves += [entry(7, 1), entry(7, 2), entry(7, 3), entry(0xD, 1)]
        for (index, bytes, offset) in [(2, 256, 576), (9, 8, 0xA80), (18, 8192, 2752)] as [(UInt32, UInt32, UInt32)] {
            leaves.append(CPUIDEntry(function: 0xD, index: index, flags: 1, eax: bytes, ebx: offset, ecx: index == 9 ? 0 : 2))
        }
        func set(_ function: UInt32, _ change: (inout CPUIDEntry) -> Void) {
            leaves.indices.filter { leaves[$0].function == function && leaves[$0].index == 0 }.forEach { change(&leaves[$0]) }
        }
        set(0) { $0 = CPUIDEntry(function: 0, eax: 0x20, ebx: vendor.ebx, ecx: vendor.ecx, edx: vendor.edx) }
        set(0x4000_0000) { $0 = CPUIDEntry(function: 0x4000_0000, eax: 0x4000_0001, ebx: 0x4B4D_564B, ecx: 0x564B_4D56, edx: 0x4D) }
        set(0x8000_0000) { $0.eax = 0x8000_0028 }
        set(0x8000_0008) { $0.eax = 0x3030 }
        return leaves
    }
}

@Suite struct CPUIDPolicyTests {
    private static func see(_ vendor: (UInt32, UInt32, UInt32), vcpu: Int = 0, of vcpus: Int = 1, deadline: Bool = true) -> [CPUIDEntry] {
        CPUIDPolicy(supported: SyntheticProcessor.all(vendor), vcpus: vcpus, hasTSCDeadlineTimer: deadline).entries(vcpu: vcpu)
    }

    private func leaf(_ entries: [CPUIDEntry], _ function: UInt32, _ index: UInt32 = 0) throws -> CPUIDEntry {
        let found = entries.filter { $0.function == function && $0.index == index }
        try #require(found.count == 1, "leaf \(String(function, radix: 16)).\(index)")
        return found[0]
    }

    @Test func `Features that cannot move are hidden, and those that a Linux guest needs are not`() throws {
        let entries = Self.see(SyntheticProcessor.intel)
        let first = try leaf(entries, 1)
        for bit in [2, 3, 5, 6, 7, 15, 27] as [UInt32] { #expect(first.ecx >> bit & 1 == 0, "1.ecx \(bit)") }
        for bit in [0, 13, 21, 24, 26, 31] as [UInt32] { #expect(first.ecx >> bit & 1 == 1, "1.ecx \(bit)") }
        for bit in [0, 3, 4, 5, 6, 8, 9, 13, 15, 24, 25, 26] as [UInt32] { #expect(first.edx >> bit & 1 == 1, "1.edx \(bit)") }
        for bit in [7, 14, 21, 22, 28] as [UInt32] { #expect(first.edx >> bit & 1 == 0, "1.edx \(bit)") }
        let seventh = try leaf(entries, 7)
        #expect(seventh.eax == 2 && seventh.ebx & (1 << 2 | 1 << 25) == 0 && seventh.edx & (7 << 24) == 0 << 24 | seventh.edx & 1 << 26)
        #expect(seventh.ebx & (1 << 5 | 1 << 7 | 1 << 11) == 1 << 5 | 1 << 7 | 1 << 11)
        let kvm = try leaf(entries, 0x4000_0001)
        for bit in [0, 3, 6, 24] as [UInt32] { #expect(kvm.eax >> bit & 1 == 1, "KVM \(bit)") }
        for bit in [4, 5, 10, 14] as [UInt32] { #expect(kvm.eax >> bit & 1 == 0, "KVM \(bit)") }
        #expect(kvm.edx == 0)
        #expect(try leaf(entries, 0x4000_0000).ebx == 0x4B4D_564B)
        let extended = try leaf(entries, 0x8000_0001)
        #expect(extended.ecx & (1 << 2) == 0 && extended.edx >> 29 & 1 == 1 && extended.edx >> 20 & 1 == 1)
    }

    @Test func `Unknown leaves are neither passed on nor announced`() throws {
        let entries = Self.see(SyntheticProcessor.amd)
        #expect(
            entries.allSatisfy {
                ![5, 9, 0xA, 0xF, 0x12, 0x14, 0x15, 0x16, 0x1F, 0x8000_0007, 0x8000_000A, 0x8000_001F].contains($0.function)
            }
        )
        #expect(try leaf(entries, 0).eax == 0xD)
        #expect(try leaf(entries, 0x8000_0000).eax == 0x8000_0021)
        // An unknown subleaf, and unknown registers beside known ones.
        #expect(try leaf(entries, 7, 3) == CPUIDEntry(function: 7, index: 3, flags: 1))
        #expect(try leaf(entries, 6).eax == 4)
    }

    @Test func `The guest has the deadline timer if KVM has it`() throws {
        #expect(try leaf(Self.see(SyntheticProcessor.amd, deadline: false), 1).ecx >> 24 & 1 == 0)
        #expect(try leaf(Self.see(SyntheticProcessor.amd, deadline: true), 1).ecx >> 24 & 1 == 1)
    }

    @Test(arguments: [1, 2, 3, 8, 255])
    func `Each vCPU is a core of one package`(count: Int) throws {
        var seen: Set<UInt32> = []
        for vcpu in [0, count - 1, count / 2] {
            let entries = Self.see(SyntheticProcessor.amd, vcpu: vcpu, of: count)
            let first = try leaf(entries, 1)
            #expect(first.ebx >> 24 == UInt32(vcpu))
            #expect(first.edx >> 28 & 1 == (count > 1 ? 1 : 0))
            let (threads, cores, end) = (try leaf(entries, 0xB, 0), try leaf(entries, 0xB, 1), try leaf(entries, 0xB, 2))
            #expect(threads.eax == 0 && threads.ebx == 1 && threads.ecx == 0x100)
            #expect(
                cores.ebx == UInt32(count) && cores.ecx == 0x201 && 1 << Int(cores.eax) >= count && 1 << Int(cores.eax) < 2 * max(count, 1)
            )
            #expect(end.ecx == 2 && end.ebx == 0 && [threads.edx, cores.edx, end.edx] == Array(repeating: UInt32(vcpu), count: 3))
            #expect(try leaf(entries, 0x8000_0008).ecx == UInt32(count - 1) | cores.eax << 12)
            #expect(try leaf(entries, 0x8000_001E).eax == UInt32(vcpu))
            // The filler's cache is of the last level, which all vCPUs share.
            #expect(try leaf(entries, 4).eax >> 14 & 0xFFF == 1 << cores.eax - 1)
            seen.insert(first.ebx >> 24)
        }
        #expect(seen.count == min(count, 3))
    }

    @Test func `Extended state has the size of its visible components`() throws {
        let entries = Self.see(SyntheticProcessor.intel)
        #expect(entries.contains { $0.function == 0xD && $0.index == 2 } && !entries.contains { $0.function == 0xD && $0.index == 18 })
        let state = try leaf(entries, 0xD)
        #expect(state.eax & (3 << 17) == 0 && state.edx == 0)
        #expect(state.ebx == 0xA88 && state.ecx == 0xA88)
        let compact = try leaf(entries, 0xD, 1)
        #expect(compact.eax == 0xF && compact.ebx == 576 + 256 + 8 && compact.ecx == 0 && compact.edx == 0)
    }

    @Test func `Intel's register of known flaws is hidden on AMD's processors`() throws {
        #expect(try leaf(Self.see(SyntheticProcessor.intel), 7).edx >> 29 & 1 == 1)
        #expect(try leaf(Self.see(SyntheticProcessor.amd), 7).edx >> 29 & 1 == 0)
    }

    // MARK: Another host

    @Test func `The refusal names the one feature that the host lacks, and no other`() {
        let whole = Self.see(SyntheticProcessor.intel)
        #expect(CPUIDPolicy.missing(required: whole, offered: whole) == [])
        let registers: [WritableKeyPath<CPUIDEntry, UInt32>] = [\.eax, \.ebx, \.ecx, \.edx]
        let places: [(UInt32, UInt32, Int)] = [(1, 0, 2), (1, 0, 3), (7, 0, 1), (7, 0, 2), (7, 0, 3), (0x4000_0001, 0, 0), (0xD, 1, 0)]
        var names: Set<String> = []
        for (function, index, register) in places {
            for bit in 0..<32 as Range<UInt32> {
                var offered = whole
                let place = offered.firstIndex { $0.function == function && $0.index == index }!
                guard offered[place][keyPath: registers[register]] >> bit & 1 == 1 else { continue }
                offered[place][keyPath: registers[register]] ^= 1 << bit
                let missing = CPUIDPolicy.missing(required: whole, offered: offered)
                #expect(missing.count == 1)
                for name in missing { #expect(names.insert(name).inserted, "\(name) twice") }
                #expect(CPUIDPolicy.missing(required: offered, offered: whole) == [], "a host may have more")
            }
        }
        #expect(names.isSuperset(of: ["avx2", "sse4_2", "x2apic", "xsavec", "kvmclock", "tsc_deadline_timer", "smap"]))
    }

    @Test func `The refusal names another maker, fewer address bits, another layout of state, and bits without names`() {
        let whole = Self.see(SyntheticProcessor.intel)
        let elsewhere = CPUIDPolicy.missing(required: whole, offered: Self.see(SyntheticProcessor.amd))
        #expect(elsewhere.contains { $0.contains("GenuineIntel") })
        func changed(_ function: UInt32, _ index: UInt32 = 0, _ change: (inout CPUIDEntry) -> Void) -> [CPUIDEntry] {
            var entries = whole
            change(&entries[entries.firstIndex { $0.function == function && $0.index == index }!])
            return entries
        }
        #expect(CPUIDPolicy.missing(required: whole, offered: changed(0x8000_0008) { $0.eax = 0x302E }) == ["48-bit physical addresses"])
        #expect(CPUIDPolicy.missing(required: whole, offered: changed(0xD, 9) { $0.ebx = 0x980 }).count == 1)
        // Foreign input: a bit that no policy shows.
        #expect(CPUIDPolicy.missing(required: changed(7) { $0.ecx |= 1 << 15 }, offered: whole) == ["bit 15 of CPUID 0x7.0"])
        #expect(CPUIDPolicy.missing(required: [], offered: whole).count == 1)
        #expect(!CPUIDPolicy.missing(required: whole, offered: []).isEmpty)
    }

    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func `A guest never sees more than its host has, and can always come back`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var supported: [CPUIDEntry] = SyntheticProcessor.all(seed % 2 == 0 ? SyntheticProcessor.amd : SyntheticProcessor.intel)
        for index in supported.indices where ![0, 0x8000_0000].contains(supported[index].function) {
            let word = { UInt32(truncatingIfNeeded: random.next()) }
            if supported[index].function != 0xD || supported[index].index < 2 { supported[index].eax = word() }
            (supported[index].ebx, supported[index].ecx, supported[index].edx) = (word() >> 8, word(), word())
        }
        supported.removeAll { $0.function != 0 && Int.random(in: 0..<8, using: &random) == 0 }
        let policy = CPUIDPolicy(supported: supported, vcpus: 4, hasTSCDeadlineTimer: true)
        let entries = policy.entries(vcpu: 3)
        #expect(entries.count <= supported.count + 3)
        #expect(CPUIDPolicy.missing(required: entries, offered: entries) == [])
        // Applying the policy to its own output changes nothing.
        #expect(CPUIDPolicy(supported: entries, vcpus: 4, hasTSCDeadlineTimer: true).entries(vcpu: 3) == entries)
    }
}

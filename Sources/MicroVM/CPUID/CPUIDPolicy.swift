/// What the vCPUs see of the processor: only features that KVM offers and whose state moves with the guest, and the machine's own topology
/// (one package, as many cores as vCPUs, one thread each).
package struct CPUIDPolicy: Sendable {
    /// KVM_CAP_TSC_DEADLINE_TIMER. KVM_GET_SUPPORTED_CPUID does not report this feature.
    package let hasTSCDeadlineTimer: Bool
    package let vcpus: Int
    let supported: [CPUIDEntry]

    /// - Parameter supported: what KVM_GET_SUPPORTED_CPUID answered.
    package init(supported: [CPUIDEntry], vcpus: Int, hasTSCDeadlineTimer: Bool) {
        precondition((1...ACPITables.maximumVCPUs).contains(vcpus), "\(vcpus) vCPUs")
        self.supported = supported
        self.vcpus = vcpus
        self.hasTSCDeadlineTimer = hasTSCDeadlineTimer
    }

    /// The highest leaf of each range that a guest may see.
    private static let maximumLeaves: [(range: UInt32, last: UInt32)] = [
        (0, 0xD), (0x4000_0000, 0x4000_0001), (0x8000_0000, 0x8000_0021),
    ]
    /// Leaves of features go through `CPUIDFeatures`. These hold something else as well, or only something else: names, sizes, caches,
    /// topology.
    private static let leaves: Set<UInt32> = [
        0, 1, 2, 4, 6, 7, 0xB, 0xD, 0x4000_0000, 0x4000_0001, 0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0003, 0x8000_0004,
        0x8000_0005, 0x8000_0006, 0x8000_0008, 0x8000_001D, 0x8000_001E, 0x8000_0021,
    ]

    /// What one vCPU sees, for KVM_SET_CPUID2.
    package func entries(vcpu: Int) -> [CPUIDEntry] {
        precondition((0..<vcpus).contains(vcpu), "vCPU \(vcpu) of \(vcpus)")
        return supported.compactMap { entry in
            guard Self.leaves.contains(entry.function), isVisibleComponent(entry) else { return nil }
            var entry = entry
            limit(&entry)
            hideFeatures(&entry)
            describe(&entry, vcpu)
            return entry
        } + topologyEntries(vcpu)
    }

    private var isAMD: Bool { supported.leaf(0)?.ecx == 0x444D_4163 }  // "cAMD"

    private func limit(_ entry: inout CPUIDEntry) {
        for (range, last) in Self.maximumLeaves where entry.function == range { entry.eax = min(entry.eax, last) }
    }

    private func hideFeatures(_ entry: inout CPUIDEntry) {
        // Feature registers without a row in the table are hidden: nobody knows whether they are harmless.
        let (before, isFeatures) = (entry, [6, 7, 0x8000_0021, 0x4000_0001].contains(entry.function) || entry.isStateList)
        if isFeatures { (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0) }
        for features in CPUIDFeatures.all where features.function == entry.function && features.index == entry.index {
            entry[keyPath: features.register] = before[keyPath: features.register] & features.visible
        }
    }

    /// Fills in what is not a feature, and the features that this machine decides about.
    private func describe(_ entry: inout CPUIDEntry, _ vcpu: Int) {
        switch (entry.function, entry.index) {
        case (1, _):
            let (deadline, hypervisor, severalThreads): (UInt32, UInt32, UInt32) = (1 << 24, 1 << 31, 1 << 28)
            entry.ecx = entry.ecx & ~deadline | hypervisor | (hasTSCDeadlineTimer ? deadline : 0)
            entry.edx = entry.edx & ~severalThreads | (vcpus > 1 ? severalThreads : 0)
            entry.ebx = entry.ebx & 0xFFFF | min(identifierSpan, 0xFF) << 16 | UInt32(vcpu) << 24
        case (7, 0):
            // The number of further subleaves.
            entry.eax = min(supported.leaf(7)?.eax ?? 0, 2)
            // On AMD's processors KVM offers Intel's register of known flaws too, which guests do not expect there.
            let flaws: UInt32 = 1 << 29
            if isAMD { entry.edx &= ~flaws }
        case (0xD, 0): (entry.ebx, entry.ecx) = (stateBytes, stateBytes)
        case (0xD, 1): entry.ebx = compactStateBytes
        case (4, _): entry.eax = entry.eax & 0x3FFF | sharing(ofLevel: entry.eax >> 5 & 7) << 14 | (identifierSpan - 1) << 26
        case (0x8000_001D, _): entry.eax = entry.eax & 0x3FFF | sharing(ofLevel: entry.eax >> 5 & 7) << 14
        case (0x8000_0001, _):
            let severalCores: UInt32 = 1 << 1
            entry.ecx = entry.ecx & ~severalCores | (isAMD && vcpus > 1 ? severalCores : 0)
        case (0x8000_0008, _):
            entry.ecx = isAMD ? UInt32(vcpus - 1) | identifierBits << 12 : 0
            entry.edx = 0
        case (0x8000_001E, _): (entry.eax, entry.ebx, entry.ecx, entry.edx) = (UInt32(vcpu), UInt32(vcpu), 0, 0)
        default: break
        }
    }
}

package import AerostatGuestMemory

/// How the boot vCPU starts: the registers that are not zero, and the segments. The other vCPUs wait for their startup interrupt.
package struct BootEntry: Hashable, Sendable {
    package enum Mode: Hashable, Sendable {
        /// 32-bit protected mode without paging: the PVH entry.
        case protected32
        /// 64-bit mode with these page tables: the Linux boot protocol's 64-bit entry, and the tiny guest.
        case long64(pageTables: GuestAddress)
    }

    package let mode: Mode
    /// RIP.
    package let instruction: UInt64
    /// RSP.
    package let stack: UInt64
    /// The address of the boot parameters, for the 64-bit entry.
    package let rsi: UInt64
    /// The address of the start information, for the PVH entry.
    package let rbx: UInt64

    package init(_ mode: Mode, instruction: UInt64, stack: UInt64 = BootLayout.stackTop.rawValue, rsi: UInt64 = 0, rbx: UInt64 = 0) {
        self.mode = mode
        self.instruction = instruction
        self.stack = stack
        self.rsi = rsi
        self.rbx = rbx
    }

    /// RFLAGS: interrupts off; bit 1 is always set.
    package var flags: UInt64 { 2 }

    // MARK: Control registers (Intel SDM volume 3, section 2.5)

    package var cr0: UInt64 {
        let (protection, extensionType, paging): (UInt64, UInt64, UInt64) = (1, 1 << 4, 1 << 31)
        return switch mode {
        case .protected32: protection | extensionType
        case .long64: protection | extensionType | paging
        }
    }

    package var cr3: UInt64 { if case .long64(let tables) = mode { tables.rawValue } else { 0 } }

    package var cr4: UInt64 {
        let physicalAddressExtension: UInt64 = 1 << 5
        return if case .long64 = mode { physicalAddressExtension } else { 0 }
    }

    /// The EFER register.
    package var efer: UInt64 {
        let (longModeEnable, longModeActive): (UInt64, UInt64) = (1 << 8, 1 << 10)
        return if case .long64 = mode { longModeEnable | longModeActive } else { 0 }
    }

    // MARK: Segments

    /// For CS. The selector is the boot protocol's (__BOOT_CS).
    package var code: BootSegment {
        BootSegment(selector: 0x10, descriptor: mode == .protected32 ? 0x00CF_9B00_0000_FFFF : 0x00AF_9B00_0000_FFFF)
    }

    /// For DS, ES, FS, GS and SS (__BOOT_DS).
    package var data: BootSegment { BootSegment(selector: 0x18, descriptor: 0x00CF_9300_0000_FFFF) }

    /// For TR: present and busy, because processors require it. Nobody uses it.
    package var task: BootSegment { BootSegment(selector: 0x20, descriptor: 0x0000_8B00_0000_0067) }

    /// For GDTR.
    package var descriptorTable: (base: GuestAddress, limit: UInt16) { (BootLayout.descriptorTable, UInt16(descriptors.count * 8 - 1)) }

    /// Flat segments. In 64-bit mode the descriptor of a task segment has a second, upper half.
    private var descriptors: [UInt64] { [0, 0, code.descriptor, data.descriptor, task.descriptor, 0] }

    /// Writes the table that the selectors refer to into RAM.
    package func writeDescriptors(into memory: GuestRAM) throws(AccessError) {
        for (index, descriptor) in descriptors.enumerated() {
            try memory.store(descriptor, at: GuestAddress(BootLayout.descriptorTable.rawValue + UInt64(index) * 8))
        }
    }
}

/// A segment register: its selector, and what it loaded from the descriptor (Intel SDM volume 3, section 3.4.5).
package struct BootSegment: Hashable, Sendable {
    package let selector: UInt16
    package let descriptor: UInt64

    /// All segments start at address 0.
    package var base: UInt64 { 0 }
    /// In bytes, minus one.
    package var limit: UInt32 {
        let limit = UInt32(truncatingIfNeeded: descriptor & 0xFFFF | descriptor >> 32 & 0xF_0000)
        return isInPages ? limit << 12 | 0xFFF : limit
    }
    package var type: UInt8 { UInt8(descriptor >> 40 & 0xF) }
    package var isCodeOrData: Bool { bit(44) }
    package var privilege: UInt8 { UInt8(descriptor >> 45 & 3) }
    package var isPresent: Bool { bit(47) }
    package var is64Bit: Bool { bit(53) }
    /// The operand size, or "B" flag.
    package var is32Bit: Bool { bit(54) }
    /// The granularity flag.
    package var isInPages: Bool { bit(55) }

    private func bit(_ number: UInt64) -> Bool { descriptor >> number & 1 == 1 }
}

import AerostatGuestMemory
import AerostatMicroVM
import Testing

@Suite struct BootEntryTests {
    private let memory: GuestRAM
    init() throws { memory = try GuestRAM(MachineLayout.regions(memory: 16 << 20)) }

    /// Walks the page tables as a processor does (Intel SDM volume 3, section 4.5).
    private func translate(_ address: UInt64, root: UInt64) throws -> UInt64? {
        var table = root
        for shift in [39, 30, 21] as [UInt64] {
            let entry: UInt64 = try memory.load(at: GuestAddress(table + (address >> shift & 511) * 8))
            guard entry & 3 == 3 else { return nil }
            if shift == 21 {
                #expect(entry & 0x80 != 0 && entry & 0x1F_FF00 == 0)
                return entry & ~0x1F_FFFF | address & 0x1F_FFFF
            }
            table = entry & ~0xFFF
        }
        return nil
    }

    @Test func `The page tables map every address below 4 GiB to itself, and nothing else`() throws {
        let root = try IdentityPageTables.write(into: memory).rawValue
        for address in stride(from: UInt64(0), to: 4 << 30, by: 1 << 21) {
            #expect(try translate(address + 0x1234, root: root) == address + 0x1234)
        }
        #expect(try translate(4 << 30, root: root) == nil)
        #expect(try translate(512 << 30, root: root) == nil)
    }

    @Test func `Memory too small for the tables is an error`() throws {
        let small = try GuestRAM(MachineLayout.regions(memory: 4096))
        #expect(throws: AccessError.self) { try IdentityPageTables.write(into: small) }
    }

    private static let modes: [BootEntry.Mode] = [.protected32, .long64(pageTables: GuestAddress(0x9000))]

    @Test(arguments: modes)
    func `The descriptor of each selector in memory equals its segment register`(mode: BootEntry.Mode) throws {
        let entry = BootEntry(mode, instruction: 0x100000)
        try entry.writeDescriptors(into: memory)
        for segment in [entry.code, entry.data, entry.task] {
            #expect(UInt16(segment.selector) + 7 <= entry.descriptorTable.limit)
            let place = GuestAddress(entry.descriptorTable.base.rawValue + UInt64(segment.selector))
            #expect(try memory.load(at: place) == segment.descriptor)
            #expect(segment.isPresent && segment.privilege == 0)
        }
    }

    @Test func `The fields of a segment are those of its descriptor`() {
        let flat = BootEntry(.protected32, instruction: 0)
        #expect(flat.code.limit == .max && flat.code.type == 0xB && flat.code.isCodeOrData && flat.code.is32Bit && !flat.code.is64Bit)
        #expect(flat.data.limit == .max && flat.data.type == 3 && flat.data.isCodeOrData && flat.data.isInPages)
        #expect(flat.task.limit == 0x67 && flat.task.type == 0xB && !flat.task.isCodeOrData)
        let long = BootEntry(.long64(pageTables: GuestAddress(0x9000)), instruction: 0)
        #expect(long.code.is64Bit && !long.code.is32Bit)
    }

    @Test func `The control registers have the values that the two entries require`() {
        let flat = BootEntry(.protected32, instruction: 0)
        #expect(flat.cr0 & 0x8000_0001 == 1 && flat.cr3 == 0 && flat.cr4 == 0 && flat.efer == 0 && flat.flags == 2)
        let long = BootEntry(.long64(pageTables: GuestAddress(0x9000)), instruction: 0)
        #expect(long.cr0 & 0x8000_0001 == 0x8000_0001 && long.cr3 == 0x9000 && long.cr4 == 0x20 && long.efer == 0x500)
    }
}

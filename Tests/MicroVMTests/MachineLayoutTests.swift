import AerostatGuestMemory
import AerostatMicroVM
import Testing

@Suite struct MachineLayoutTests {
    @Test(arguments: [16 << 20, 3 << 30, 3 << 30 + 4096, 64 << 30] as [UInt64])
    func `RAM leaves the hole below 4 GiB free`(memory: UInt64) throws {
        let table = try MachineLayout.regions(memory: memory)
        #expect(table.byteCount == memory)
        #expect(table.page(containing: GuestAddress(MachineLayout.virtioBase)) == nil)
        #expect(table.page(containing: GuestAddress(MachineLayout.localAPICBase)) == nil)
    }
}

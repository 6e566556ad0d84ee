import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatQMP

extension MachineHost {
    /// Writes guest-physical memory to a file, as the guest sees it now. Pages that were never populated become holes: reading them
    /// would populate them.
    func saveMemory(address: UInt64, size: UInt64?, path: String) throws(QMPError) {
        let guest = try presentGuest()
        let memory = guest.memory
        let regions = memory.regions
        let end = regions.regions.last!.end
        guard address < end else { throw QMPError("address 0x\(String(address, radix: 16)) is behind the guest's memory") }
        let size = size ?? (end - address)
        guard size > 0, size <= end - address else {
            throw QMPError(
                "\(size) bytes from 0x\(String(address, radix: 16)) reach over the end of guest memory at 0x\(String(end, radix: 16))"
            )
        }
        do {
            let present = try PageSet(pageCount: memory.pageCount)
            try memory.insertPresentPages(into: present)
            let file = try OutputFile(path, .memory)
            for region in regions.regions {
                let start = max(region.base.rawValue, address)
                let stop = min(region.end, address + size)
                guard start < stop else { continue }
                try dump(memory, present, from: start, to: stop, offsetBy: address, into: file)
            }
            try file.setLength(size)
            try file.finish()
        } catch {
            throw QMPError("the memory was not saved: \(error)")
        }
    }

    private func dump(
        _ memory: GuestRAM,
        _ present: PageSet,
        from start: UInt64,
        to stop: UInt64,
        offsetBy base: UInt64,
        into file: OutputFile
    ) throws {
        let pieceBytes: UInt64 = 1 << 20
        var position = start
        while position < stop {
            let address = GuestAddress(position)
            guard let page = memory.regions.page(containing: address) else { preconditionFailure("inside a region") }
            let inPage = position % UInt64(GuestPage.size)
            let (run, next) = present.nextRun(from: page, maximumPages: Int(pieceBytes) / GuestPage.size)
            guard run?.first == page else {
                // Leaves a hole up to the next populated page.
                let skipped = UInt64((run?.first.rawValue ?? next.rawValue) - page.rawValue) * UInt64(GuestPage.size) - inPage
                position += min(skipped, stop - position)
                continue
            }
            let length = min(UInt64(run!.byteCount) - inPage, stop - position)
            // A run may extend into the next region, but the read must not.
            let inRegion = min(length, memory.regions.regions.first { $0.end > position }!.end - position)
            try file.write(try memory.read(at: address, byteCount: Int(inRegion)), at: position - base)
            position += inRegion
        }
    }
}

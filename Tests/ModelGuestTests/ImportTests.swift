import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatModelGuest
import Foundation
import TestSupport
import Testing

extension ModelGuestTests {
    @Suite struct ImportTests {
        private static let top = KernelLayout.topOrder

        private func imported(_ machine: SyntheticMachine, _ change: (inout GuestBehaviour) -> Void = { _ in }) throws -> ImportedGuest {
            let folder = try Folder()
            var behaviour = GuestBehaviour()
            change(&behaviour)
            return try ImportedGuest(machine.dump(in: folder), behaviour: behaviour, tracker: .software)
        }

        /// The guest's page index of the machine's frame 0.
        private func base(_ guest: ModelGuest, _ machine: SyntheticMachine) -> Int { guest.memory.pageCount - machine.pages.count }

        /// The blocks of a list, as ranges of the machine's frames.
        private func blocks(_ list: FrameList, _ kernel: Kernel, base: Int) -> [Range<Int>] {
            var (blocks, link) = ([Range<Int>](), Int(list.first))
            while link != 0 {
                let record = kernel.memory.record(of: link)
                blocks.append(link - base..<link - base + 1 << record.head!.order)
                link = Int(record.next)
            }
            return blocks
        }

        // MARK: What arrives

        @Test(arguments: 1...4 as ClosedRange<UInt64>)
        func `Frames are free or in use as the flags say, and have the file's content`(seed: UInt64) throws {
            let machine = SyntheticMachine(blocks: 14, seed: seed)
            let imported = try imported(machine) { $0.vcpus = 3 }
            let guest = imported.guest
            let base = base(guest, machine)
            let zero = machine.pages.indices.filter(machine.isZero)
            var expected = MachineDump.Summary()
            expected.frames = machine.pages.count
            expected.free = machine.free.count
            expected.freeTopOrder = machine.freeBlocks.count * 1024
            expected.zero = zero.count
            expected.holes = machine.pages.filter { $0 == SyntheticMachine.Page.hole }.count
            expected.usedData = machine.used.subtracting(zero).count
            #expect(imported.summary == expected, "seed \(seed)")

            let result = try guest.check()
            #expect(result.isClean, "seed \(seed): \(result)")
            #expect(result.pagesChecked == machine.used.count)
            #expect(result.pagesFree == machine.free.count + base - guest.kernel!.memory.layout.firstFrame)
            #expect(result.pagesFreeTopOrder == machine.freeBlocks.count << 10)
            for (frame, page) in machine.pages.enumerated() {
                let bytes = try guest.memory.read(at: GuestAddress(UInt64(base + frame) << 12), byteCount: 4096)
                try #require(bytes == page.words.flatMap(littleEndianBytes), "seed \(seed): frame \(frame)")
            }
        }

        @Test(arguments: 1...4 as ClosedRange<UInt64>)
        func `Blocks are as large as possible, and the vCPUs share those in use`(seed: UInt64) throws {
            let machine = SyntheticMachine(blocks: 12, seed: seed)
            let kernel = try imported(machine) { $0.vcpus = 3 }.guest.kernel!
            let base = kernel.memory.layout.pageCount - machine.pages.count
            let residents = (0..<3).map { blocks(kernel.loadVCPU($0).resident, kernel, base: base) }
            let free = (0...Self.top).flatMap { blocks(kernel.freeList($0), kernel, base: base) }.filter { $0.lowerBound >= 0 }
            let untouched = machine.freeBlocks.filter { (($0 << 10)..<($0 + 1) << 10).allSatisfy(machine.isZero) }
            #expect(kernel.allocator.virginBlocks == UInt64(untouched.count) && !untouched.isEmpty)
            let used = residents.flatMap { $0 }
            #expect(used.flatMap { Array($0) }.sorted() == machine.used.sorted(), "seed \(seed)")
            #expect(
                (free + untouched.map { ($0 << 10)..<($0 + 1) << 10 }).flatMap { Array($0) }.sorted() == machine.free.sorted(),
                "seed \(seed)"
            )
            for (block, all) in used.map({ ($0, machine.used) }) + free.map({ ($0, machine.free) }) {
                #expect(block.lowerBound % block.count == 0)
                let buddy = block.lowerBound ^ block.count
                #expect(
                    block.count == 1024 || !all.isSuperset(of: buddy..<buddy + block.count),
                    "seed \(seed): \(block) is half of a block"
                )
            }
            let shares = residents.map(\.count)
            #expect(shares.max()! - shares.min()! <= 1)
        }

        @Test(.enabled(if: !hostMapsHugePagesUnasked, "this host maps huge pages where nobody asked for them"))
        func `Zero pages and holes are not populated, nor are the records of free, zero blocks`() throws {
            let machine = SyntheticMachine(blocks: 12, seed: 5)
            let folder = try Folder()
            let guest = try ImportedGuest(machine.dump(in: folder), tracker: .software).guest
            let present = try PageSet(pageCount: guest.memory.pageCount)
            try guest.memory.insertPresentPages(into: present)
            let base = base(guest, machine)
            for (frame, page) in machine.pages.enumerated() {
                if case .data = page { #expect(present.contains(PageIndex(base + frame))) }
            }
            let tables = try guest.check().pagesUsed - machine.used.count
            #expect(present.count() <= machine.pages.indices.filter { !machine.isZero($0) }.count + tables)
        }

        // MARK: What the check sees

        @Test func `One damaged byte of an opaque page is found, in data, zeros and holes`() throws {
            let machine = SyntheticMachine(blocks: 8, seed: 6)
            let guest = try imported(machine).guest
            let base = base(guest, machine)
            let kinds: [(SyntheticMachine.Page) -> Bool] = [
                { $0 == .hole }, { $0 == .zero }, { if case .data = $0 { true } else { false } },
            ]
            for kind in kinds {
                let frame = try #require(machine.used.filter { kind(machine.pages[$0]) }.max())
                let address = GuestAddress(UInt64(base + frame) << 12 + 4095)
                let before: UInt8 = try guest.memory.load(at: address)
                let checksum = { () throws -> String in
                    var checksum = CRC32C()
                    let bytes = try guest.memory.read(at: GuestAddress(UInt64(base + frame) << 12), byteCount: 4096)
                    unsafe checksum.add(bytes.span.bytes)
                    let digits = String(checksum.value, radix: 16)
                    return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
                }
                let expected = try checksum()
                try guest.memory.store(before ^ 1, at: address)
                let result = try guest.check()
                #expect(result.pagesWrong == 1 && result.invariants == .ok)
                let wrong = try #require(result.firstWrongPage)
                #expect(wrong.page == base + frame && wrong.expected == expected)
                #expect(try wrong.found == checksum())
                try guest.memory.store(before, at: address)
            }
            #expect(try guest.check().isClean)
        }

        @Test func `The content of free frames is not checked`() throws {
            let machine = SyntheticMachine(blocks: 8, seed: 7)
            let guest = try imported(machine).guest
            let base = base(guest, machine)
            for frame in machine.free where frame % 7 == 0 {
                try guest.memory.fill(0xA5, at: GuestAddress(UInt64(base + frame) << 12), byteCount: 4096)
            }
            #expect(try guest.check().isClean)
        }

        @Test func `The loss of any page with records of opaque frames is found`() throws {
            let machine = SyntheticMachine(blocks: 8, seed: 8)
            let guest = try imported(machine).guest
            let memory = guest.kernel!.memory
            let first = memory.layout.recordOffset(of: base(guest, machine)) >> 12
            var found = 0
            for page in first..<first + machine.pages.count / 256 {
                let address = GuestAddress(UInt64(page) << 12)
                let content = try guest.memory.read(at: address, byteCount: 4096)
                guard content.contains(where: { $0 != 0 }) else { continue }
                try guest.memory.fill(0, at: address, byteCount: 4096)
                #expect(try !guest.check().isClean, "records in page \(page)")
                found += 1
                try guest.memory.write(content, at: address)
            }
            #expect(found > 8)
            #expect(try guest.check().isClean)
        }

        // MARK: What the guest does with it

        private static let workloads: [Workload] = [.steady(writeRate: 1 << 30, workingSet: 6 << 20), .churn(rate: 1 << 30), .hog]

        @Test(arguments: workloads)
        func `Workloads run over imported memory, and rewrite opaque pages`(workload: Workload) async throws {
            let machine = SyntheticMachine(blocks: 10, seed: 9)
            let guest = try imported(machine) {
                $0.workload = workload
                $0.vcpus = 2
            }.guest
            let base = base(guest, machine)
            let kernel = guest.kernel!
            let isRewritten = { (frame: Int) in
                let record = kernel.memory.record(of: base + frame)
                return record.isStamped && !record.isOpaque && record.generation >= 2
            }
            try guest.resume()
            switch workload {
            case .steady: try await eventually("1024 pages are rewritten") { machine.used.count(where: isRewritten) >= 1024 }
            case .hog: try await eventually("all pages are rewritten") { machine.used.allSatisfy(isRewritten) }
            default:
                try await eventually("free pages are written") { kernel.loadVCPU(0).stampedPages > UInt64(machine.used.count) + 20_000 }
            }
            for _ in 0..<5 {
                let result = try guest.check()
                #expect(result.isClean, "\(result)")
                #expect(result.pagesChecked >= machine.used.count)
            }
            try guest.pause()
            // Every page that is still opaque has the file's content.
            for frame in machine.used where kernel.memory.record(of: base + frame).isOpaque {
                let bytes = try guest.memory.read(at: GuestAddress(UInt64(base + frame) << 12), byteCount: 4096)
                try #require(bytes == machine.pages[frame].words.flatMap(littleEndianBytes))
            }
        }

        @Test func `All free memory can be allocated, and all used memory freed`() throws {
            let machine = SyntheticMachine(blocks: 10, seed: 10)
            let kernel = try imported(machine).guest.kernel!
            let before = KernelCheck.run(kernel)
            var taken: [Int] = []
            while let frame = try kernel.locked({ () throws(KernelPanic) in try kernel.allocate(order: 0) }) { taken.append(frame) }
            #expect(taken.count == before.pagesFree)
            var random = SeededGenerator(seed: 10)
            for frame in taken.shuffled(using: &random) { try kernel.locked { () throws(KernelPanic) in try kernel.free(frame) } }
            var after = KernelCheck.run(kernel)
            #expect(after.isClean && after.pagesFreeTopOrder == before.pagesFreeTopOrder, "\(after)")

            var owner = kernel.loadVCPU(0)
            while owner.resident.first != 0 {
                let frame = Int(owner.resident.first)
                try kernel.memory.remove(frame, order: kernel.memory.record(of: frame).head!.order, from: &owner.resident)
                kernel.storeVCPU(owner, 0)
                try kernel.locked { () throws(KernelPanic) in try kernel.free(frame) }
            }
            after = KernelCheck.run(kernel)
            #expect(after.isClean, "\(after)")
            #expect(after.pagesChecked == 0 && after.pagesFreeTopOrder == machine.pages.count)
        }

        @Test func `Exactly the blocks that were wholly free in Linux are hinted`() throws {
            let machine = SyntheticMachine(blocks: 20, seed: 11)
            let guest = try imported(machine).guest
            let base = base(guest, machine)
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            _ = guest.hinting!.begin(reportingTo: ledger)
            #expect(ledger.waitUntilStopped())
            #expect(ledger.blocks.map(\.rawValue).sorted() == machine.freeBlocks.map { UInt64(base + $0 << 10) << 12 })
            #expect(try guest.check().isClean)
        }

        @Test func `An imported guest moves undamaged with hints, and with another workload on request`() async throws {
            let machine = SyntheticMachine(blocks: 12, seed: 12)
            let source = try imported(machine) { $0.vcpus = 2 }.guest
            try source.resume()
            let ledger = try Ledger(source.memory)
            try source.memory.insertPresentPages(into: ledger.pending)
            _ = source.hinting!.begin(reportingTo: ledger)
            #expect(ledger.waitUntilStopped() && ledger.skipped > 0)
            try source.pause()
            try source.memory.insertPresentPages(into: ledger.pending)
            for address in ledger.blocks { ledger.pending.remove(PageRun(first: PageIndex(Int(address.rawValue >> 12)), count: 1024)) }

            let target = try ModelGuest(shell: GuestRAM(source.memory.regions), tracker: .software)
            #expect(throws: GuestError.self) { try target.override(workload: .hog) }
            ledger.copy(to: target.memory)
            #expect(throws: GuestError.self) { try target.override(workload: .churn(rate: 0)) }
            try target.override(workload: .churn(rate: 1 << 30))
            try target.loadDeviceState(try source.saveDeviceState())
            #expect(throws: GuestError.self) { try target.override(workload: .hog) }
            source.hinting!.done()
            target.hinting!.done()
            #expect(try target.check().isClean)
            let before = target.kernel!.loadVCPU(1).stampedPages
            try target.resume()
            try await eventually("the other workload runs") { target.kernel!.loadVCPU(1).stampedPages > before + 20_000 }
            let result = try target.check()
            #expect(result.isClean, "\(result)")
            #expect(target.kernel!.loadVCPU(1).churn.pages <= UInt64(result.pagesFree + result.pagesUsed) / 2)
        }
    }
}

private let hostMapsHugePagesUnasked =
    (try? String(contentsOfFile: "/sys/kernel/mm/transparent_hugepage/enabled", encoding: .utf8).contains("[always]")) ?? false

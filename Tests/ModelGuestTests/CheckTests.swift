import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatModelGuest
import Foundation
import Testing

extension ModelGuestTests {
    @Suite struct CheckTests {
        private func guest(_ change: (inout ModelGuestConfiguration) -> Void = { _ in }) throws -> ModelGuest {
            try ModelGuest(booting: try configuration(32, change), tracker: .software)
        }

        @Test func `A fresh guest is clean, and has as much used and free memory as requested`() throws {
            let guest = try guest { $0.vcpus = 3 }
            let result = try guest.check()
            #expect(result.isClean, "\(result)")
            let pages = guest.memory.pageCount
            #expect(result.pagesChecked == pages / 10)
            let use = try #require(guest.memoryUse())
            #expect(use.usedBytes == UInt64(result.pagesUsed) << 12 && use.freeBytes == UInt64(result.pagesFree) << 12)
            #expect(use.freeTopOrderBytes == UInt64(result.pagesFreeTopOrder) << 12)
            #expect(Double(result.pagesUsed - result.pagesChecked) < 0.008 * Double(pages), "tables")
        }

        @Test func `Fragmentation keeps its share of the freed memory in blocks below the top order`() throws {
            let whole = try ModelGuest(booting: try configuration(256), tracker: .software).check()
            let broken = try ModelGuest(booting: try configuration(256) { $0.fragmentationShare = 0.5 }, tracker: .software).check()
            #expect(broken.isClean, "\(broken)")
            // 128 MiB were freed: 32 blocks, of which 16 lost one page each.
            #expect(whole.pagesFreeTopOrder - broken.pagesFreeTopOrder == 16 << 10)
            #expect(whole.pagesFree - broken.pagesFree == 16)
            let configuration = try configuration(256) { ($0.fragmentationShare, $0.leavesHalves) = (0.5, true) }
            let result = try ModelGuest(booting: configuration, tracker: .software).check()
            #expect(result.isClean, "\(result)")
            #expect(whole.pagesFreeTopOrder - result.pagesFreeTopOrder == 16 << 10 && whole.pagesFree - result.pagesFree == 16 << 9)
        }

        @Test func `A damaged data page is found and reported with its expected content`() throws {
            let guest = try guest()
            let frame = Int(guest.kernel!.loadVCPU(0).resident.first)
            let address = GuestAddress(UInt64(frame) << 12 + 1024)
            let before: UInt64 = try guest.memory.load(at: address)
            try guest.memory.store(before ^ 0x100, at: address)
            let result = try guest.check()
            #expect(result.pagesWrong == 1 && result.invariants == .ok)
            let wrong = try #require(result.firstWrongPage)
            #expect(wrong.page == frame && UInt64(wrong.expected.dropFirst(2), radix: 16) == before)
            #expect(UInt64(wrong.found.dropFirst(2), radix: 16) == before ^ 0x100)
        }

        @Test func `A page with the content of an older generation is found`() async throws {
            let guest = try guest { $0.workload = .hog }
            let frame = Int(guest.kernel!.loadVCPU(0).resident.first)
            let address = GuestAddress(UInt64(frame) << 12)
            let old = try guest.memory.read(at: address, byteCount: 4096)
            try guest.resume()
            try await eventually("the page is rewritten") { guest.kernel!.memory.record(of: frame).generation > 1 }
            try guest.pause()
            #expect(try guest.check().isClean)
            try guest.memory.write(old, at: address)
            let result = try guest.check()
            #expect(result.pagesWrong == 1 && result.firstWrongPage?.page == frame)
        }

        @Test func `The loss of any page of frame records is found`() throws {
            let guest = try guest()
            let memory = guest.kernel!.memory
            let first = memory.layout.recordOffset(of: memory.layout.firstFrame) >> 12
            let present = try PageSet(pageCount: guest.memory.pageCount)
            try guest.memory.insertPresentPages(into: present)
            for page in first..<memory.layout.firstFrame where present.contains(PageIndex(page)) {
                let address = GuestAddress(UInt64(page) << 12)
                let content = try guest.memory.read(at: address, byteCount: 4096)
                guard content.contains(where: { $0 != 0 }) else { continue }
                try guest.memory.fill(0, at: address, byteCount: 4096)
                #expect(try !guest.check().isClean, "records in page \(page)")
                try guest.memory.write(content, at: address)
            }
            #expect(try guest.check().isClean)
        }

        @Test func `A page that only one side takes for the balloon's is found`() async throws {
            let guest = try balloonGuest(32)
            try guest.resume()
            try await guest.settle(at: 500)
            try guest.pause()
            let kernel = guest.kernel!
            let frame = Int(kernel.balloonLists.pages.first)
            let (record, lists) = (kernel.memory.record(of: frame), kernel.balloonLists)
            // Its record says that it is an inner page of no block; its list has lost it; its list has one more than there are.
            var lost = record
            lost.setHead(.inside, order: 0)
            kernel.memory.setRecord(lost, of: frame)
            #expect(try !guest.check().isClean)
            kernel.memory.setRecord(record, of: frame)
            #expect(try guest.check().isClean)
            for change in [-1, 1] {
                var counted = lists
                counted.pages.pages &+= UInt64(bitPattern: Int64(change))
                kernel.balloonLists = counted
                #expect(try !guest.check().isClean)
            }
            var moved = lists
            try kernel.memory.remove(frame, order: 0, from: &moved.pages)
            kernel.balloonLists = moved
            #expect(try !guest.check().isClean)
        }

        @Test func `A broken link in a free list is found`() throws {
            let guest = try guest { $0.freedShare = 0.8 }
            let kernel = guest.kernel!
            let frame = Int(kernel.freeList(KernelLayout.topOrder).last)
            var record = kernel.memory.record(of: frame)
            let whole = record
            for change in [UInt32(0), 7, .max, UInt32(frame)] where change != record.previous {
                record.previous = change
                kernel.memory.setRecord(record, of: frame)
                guard case .violated(let list) = try guest.check().invariants else {
                    Issue.record("a link to \(change) was not noticed")
                    continue
                }
                #expect(!list.isEmpty)
            }
            kernel.memory.setRecord(whole, of: frame)
            #expect(try guest.check().isClean)
        }

        @Test(arguments: 1...6 as ClosedRange<UInt64>)
        func `Garbage in the tables traps neither the check nor the running kernel`(seed: UInt64) async throws {
            let guest = try guest {
                $0.workload = .churn(rate: 1 << 30)
                $0.vcpus = 2
            }
            var random = SplitMix(state: seed)
            let tableBytes = guest.kernel!.memory.layout.firstFrame << 12
            // Everything but the parameters in the first 512 bytes, which loadDeviceState validates.
            for _ in 0..<(seed.isMultiple(of: 2) ? 64 : 4096) {
                let offset = UInt64.random(in: 512..<UInt64(tableBytes) - 8, using: &random)
                try guest.memory.store(random.next() >> UInt64.random(in: 0..<64, using: &random), at: GuestAddress(offset))
            }
            #expect(try !guest.check().isClean, "seed \(seed)")
            try guest.resume()
            let ledger = try Ledger(guest.memory)
            _ = guest.hinting!.begin(reportingTo: ledger)
            try await Task.sleep(for: .milliseconds(50))
            guest.hinting!.done()
            try guest.pause()
            #expect(try !guest.check().isClean, "seed \(seed)")
            guest.shutdown()
        }

        @Test func `The encoded result has the names that the command shows`() throws {
            let guest = try guest()
            let clean = try JSONSerialization.jsonObject(with: JSONEncoder().encode(try guest.check())) as? [String: Any]
            #expect(clean?["invariants"] as? String == "ok")
            for name in [
                "pages-checked", "pages-wrong", "pages-used", "pages-free", "pages-free-top-order", "pages-held", "pages-ballooned",
            ] {
                #expect(clean?[name] is Int, "\(name)")
            }
            try guest.memory.fill(0, at: GuestAddress(0x280), byteCount: 352)
            let broken = try guest.check()
            let decoded = try JSONDecoder().decode(SelfCheckResult.self, from: JSONEncoder().encode(broken))
            #expect(decoded == broken && !broken.isClean)
        }
    }
}

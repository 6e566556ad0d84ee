import AerostatGuestMemory
import TestSupport
import Testing

@Suite struct PageSetTests {
    /// Page counts around the edges of words.
    @Test(arguments: [1, 63, 64, 65, 127, 128, 1000, 4096 + 17])
    func `A bitmap matches a set of integers`(pageCount: Int) throws {
        let seed = UInt64(pageCount) &* 7919
        var random = SeededGenerator(seed: seed)
        let bitmap = try PageSet(pageCount: pageCount)
        var model: Set<Int> = []
        for step in 0..<600 {
            let first = Int.random(in: 0..<pageCount, using: &random)
            let count = Int.random(in: 1...min(pageCount - first, Bool.random(using: &random) ? 5 : 300), using: &random)
            let run = PageRun(first: PageIndex(first), count: count)
            let indices = Set(run.indices)
            switch Int.random(in: 0..<6, using: &random) {
            case 0:
                bitmap.insert(PageIndex(first))
                model.insert(first)
            case 1:
                #expect(bitmap.insert(run) == indices.subtracting(model).count, "seed \(seed), step \(step)")
                model.formUnion(indices)
            case 2:
                #expect(bitmap.remove(run) == indices.intersection(model).count, "seed \(seed), step \(step)")
                model.subtract(indices)
            case 3:
                let word = first >> 6
                #expect(bitmap.take(word: word) == Self.word(word, of: model), "seed \(seed), step \(step)")
                model = model.filter { $0 >> 6 != word }
            case 4:
                #expect(bitmap.count(in: run) == indices.intersection(model).count, "seed \(seed), step \(step)")
                #expect(bitmap.contains(PageIndex(first)) == model.contains(first), "seed \(seed), step \(step)")
            default:
                let maximumPages = Bool.random(using: &random) ? Int.max : Int.random(in: 1...80, using: &random)
                let maximumWords = Bool.random(using: &random) ? Int.max : Int.random(in: 1...3, using: &random)
                try Self.checkNextRun(bitmap, model, from: first, maximumPages, maximumWords, "seed \(seed), step \(step)")
            }
        }
        var runs: [Int] = []
        bitmap.forEachRun { runs += Array($0.indices) }
        #expect(runs == model.sorted(), "seed \(seed)")
        #expect(bitmap.count() == model.count)
        bitmap.removeAll()
        #expect(bitmap.count() == 0)
    }

    private static func word(_ index: Int, of model: Set<Int>) -> UInt64 {
        model.reduce(0) { $1 >> 6 == index ? $0 | 1 << UInt64($1 & 63) : $0 }
    }

    /// The run begins at the first member at or after the start, contains only members, and no member is skipped.
    private static func checkNextRun(
        _ bitmap: PageSet,
        _ model: Set<Int>,
        from first: Int,
        _ maximumPages: Int,
        _ maximumWords: Int,
        _ place: String
    ) throws {
        let (run, next) = bitmap.nextRun(from: PageIndex(first), maximumPages: maximumPages, maximumWords: maximumWords)
        let expected = (first..<bitmap.pageCount).first(where: model.contains)
        #expect(next.rawValue > first || first == bitmap.pageCount, "no progress: \(place)")
        #expect(next.rawValue <= bitmap.pageCount, "\(place)")
        guard let run else {
            #expect(expected ?? .max >= next.rawValue, "passed over a page: \(place)")
            #expect(
                next.rawValue - first <= maximumWords.multipliedReportingOverflow(by: 64).partialValue || maximumWords == .max,
                "\(place)"
            )
            return
        }
        #expect(run.first.rawValue == expected && run.end == next && run.count <= maximumPages, "\(place)")
        #expect(run.indices.allSatisfy(model.contains), "a page that is not in the set: \(place)")
        if maximumWords == .max, run.count < maximumPages {
            #expect(!model.contains(run.end.rawValue), "the run ends early: \(place)")
        }
    }

    @Test func `A run over many full words is one run`() throws {
        let bitmap = try PageSet(pageCount: 1000)
        bitmap.insert(PageRun(first: PageIndex(3), count: 990))
        #expect(bitmap.nextRun(from: PageIndex(0)).run == PageRun(first: PageIndex(3), count: 990))
        #expect(bitmap.nextRun(from: PageIndex(64), maximumPages: 64).run == PageRun(first: PageIndex(64), count: 64))
        #expect(bitmap.nextRun(from: PageIndex(993)).run == nil)
        #expect(bitmap.nextRun(from: PageIndex(1000)).next == PageIndex(1000))
    }

    @Test(arguments: [1, 64, 32767, 32768, 32769, 100_000])
    func `Pages of words hold the whole set, and no bit past its end`(pageCount: Int) throws {
        var random = SeededGenerator(seed: UInt64(pageCount))
        let bitmap = try PageSet(pageCount: pageCount)
        for _ in 0..<500 { bitmap.insert(PageIndex(.random(in: 0..<pageCount, using: &random))) }
        bitmap.insert(PageIndex(pageCount - 1))
        let copy = try PageSet(pageCount: pageCount)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 8)
        defer { unsafe buffer.deallocate() }
        #expect(bitmap.wordPageCount == (pageCount + 32767) / 32768)
        for page in 0..<bitmap.wordPageCount {
            unsafe bitmap.copyPage(page, into: buffer)
            for bit in 0..<32768 {
                let index = page * 32768 + bit
                let isSet = unsafe buffer[bit / 8] & (1 << UInt8(bit % 8)) != 0
                #expect(isSet == (index < pageCount && bitmap.contains(PageIndex(index))))
            }
            #expect(unsafe copy.insertPage(page, from: UnsafeRawBufferPointer(buffer)))
        }
        #expect((0..<bitmap.wordCount).allSatisfy { bitmap.load(word: $0) == copy.load(word: $0) })
        if pageCount % 32768 != 0 {
            let behind = pageCount % 32768
            unsafe buffer[behind / 8] |= 1 << UInt8(behind % 8)
            let refusing = try PageSet(pageCount: pageCount)
            #expect(unsafe !refusing.insertPage(bitmap.wordPageCount - 1, from: UnsafeRawBufferPointer(buffer)))
            #expect(refusing.count() == 0)
        }
    }
}

extension PageSetTests {
    /// Some chunks in use, far apart, in a set for a guest of 16 TiB.
    @Test func `A search of a large set finds each page, and looks at used chunks only`() throws {
        let bitmap = try PageSet(pageCount: 1 << 32)
        var random = SeededGenerator(seed: 77)
        var pages = Set((0..<200).map { _ in Int.random(in: 0..<1 << 32, using: &random) })
        pages.formUnion([0, 32767, 32768, 1 << 32 - 1, 1 << 31])
        for page in pages { bitmap.insert(PageIndex(page)) }
        let start = ContinuousClock.now
        for _ in 0..<100 {
            #expect(bitmap.count() == pages.count)
            var found: [Int] = []
            bitmap.forEachRun { found += $0.indices }
            #expect(found == pages.sorted())
        }
        // Reading all words would take some 30 ms each time, and their memory.
        #expect(ContinuousClock.now - start < .seconds(2))
        for page in pages where page % 2 == 0 { bitmap.remove(PageRun(first: PageIndex(page), count: 1)) }
        #expect(bitmap.count() == pages.count { $0 % 2 != 0 })
        bitmap.removeAll()
        #expect(bitmap.count() == 0 && bitmap.nextRun(from: PageIndex(0)).run == nil)
        bitmap.insert(PageIndex(1 << 30 + 5))
        #expect(bitmap.nextRun(from: PageIndex(3)).run == PageRun(first: PageIndex(1 << 30 + 5), count: 1))
    }
}

import AerostatHost
import Foundation
import TestSupport
import Testing

@Suite struct SparseWordsTests {
    @Test(arguments: [1, 1023, 1024, 1025, 5000])
    func `Words match a dictionary`(count: Int) throws {
        var random = SeededGenerator(seed: UInt64(count))
        var words = try SparseWords(count: count)
        var model: [Int: UInt32] = [:]
        for _ in 0..<500 {
            let index = Int.random(in: 0..<count, using: &random)
            model[index] = .random(in: 0 ... .max, using: &random)
            words[index] = model[index]!
        }
        var copy = try SparseWords(count: count)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SparseWords.pageBytes, alignment: 4)
        defer { unsafe buffer.deallocate() }
        for page in 0..<words.pageCount {
            unsafe words.copyPage(page, into: buffer)
            for word in 0..<SparseWords.wordsPerPage {
                let value = unsafe buffer.load(fromByteOffset: word * 4, as: UInt32.self)
                #expect(value == model[page * SparseWords.wordsPerPage + word] ?? 0)
            }
            unsafe copy.loadPage(page, from: UnsafeRawBufferPointer(buffer))
        }
        for index in 0..<count {
            let (value, copied) = (words[index], copy[index])
            #expect(value == model[index] ?? 0 && copied == value)
        }
    }

    @Test func `Words past the array's end stay zero, whatever is loaded`() throws {
        var words = try SparseWords(count: 10)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SparseWords.pageBytes, alignment: 4)
        defer { unsafe buffer.deallocate() }
        unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0xFF)
        unsafe words.loadPage(0, from: UnsafeRawBufferPointer(buffer))
        unsafe words.copyPage(0, into: buffer)
        #expect(unsafe buffer.enumerated().allSatisfy { $1 == ($0 < 40 ? 0xFF : 0) })
    }

    @Test func `A large array costs only what is written`() throws {
        var words = try SparseWords(count: 1 << 30)
        for number in 0..<100 { words[number << 23] = 1 }
        let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        let residentPages = try #require(Int(fields[1]))
        #expect(residentPages < 1 << 17, "4 GiB of words were populated")
        let last = words[1 << 23]
        #expect(last == 1)
    }

    @Test func `A word outside is a mistake that traps`() async {
        await #expect(processExitsWith: .failure) {
            let words = try SparseWords(count: 1000)
            _ = words[1000]
        }
    }
}

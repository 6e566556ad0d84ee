import AerostatIOUring
import SystemPackage
import Testing

@Suite struct RingErrorTests {
    @Test func `A ring for which there is no memory names the limit that may have caused it`() {
        let words = "\(RingError.system(operation: "set up a ring", .noMemory))"
        #expect(words.contains("Cannot allocate memory") && words.contains("(ulimit -l)"), "\(words)")
        #expect(!"\(RingError.system(operation: "submit", .ioError))".contains("ulimit"))
    }
}

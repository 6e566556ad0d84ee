import AerostatGuestMemory
import AerostatVirtio

// Where the random number driver keeps its things: in what is left of page 0, and its buffer behind the balloon's command buffers in page
// 11. Every guest has these pages for its kernel's tables, also one that was imported, so no other table moves.
extension KernelLayout {
    static let entropyRecordOffset = 0xA00
    static let entropyRingOffset = 0xA40
    static let entropyRingSize: UInt16 = 4
    static let entropyRingStateOffset = (entropyRingOffset + VirtqueueLayout.contiguousByteCount(size: entropyRingSize) + 63) & ~63
    package static let entropyBufferOffset = stopCommandOffset + 64
    package static let entropyBufferBytes = 512
}

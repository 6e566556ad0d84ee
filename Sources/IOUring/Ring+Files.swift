import CLiburing

// Operations for guest images. A completion tells how many bytes were moved, which may be fewer than requested.
extension Ring {
    /// The most bytes that Linux moves in one operation (MAX_RW_COUNT: 2 GiB less a page).
    package static let maximumBytes = 0x7FFF_F000

    /// Prepares writing bytes at an offset in a file.
    /// - Parameter count: 1 to `maximumBytes`.
    package mutating func prepareWrite(
        _ descriptor: Int32,
        from bytes: UnsafeRawPointer,
        count: Int,
        at offset: UInt64,
        token: UInt64
    ) throws(RingError) {
        precondition(count > 0 && count <= Self.maximumBytes, "more than one operation writes")
        let entry = unsafe try nextEntry(token)
        unsafe io_uring_prep_write(entry, descriptor, bytes, UInt32(count), offset)
    }

    /// Prepares reading bytes at an offset in a file. Fewer arrive at the file's end.
    /// - Parameter count: 1 to `maximumBytes`.
    package mutating func prepareRead(
        _ descriptor: Int32,
        into bytes: UnsafeMutableRawPointer,
        count: Int,
        at offset: UInt64,
        token: UInt64
    ) throws(RingError) {
        precondition(count > 0 && count <= Self.maximumBytes, "more than one operation reads")
        let entry = unsafe try nextEntry(token)
        unsafe io_uring_prep_read(entry, descriptor, bytes, UInt32(count), offset)
    }

    /// Prepares waiting until written data is on the disk. Covers only writes that had completed when this is submitted.
    /// - Parameter dataOnly: omits what is not needed to read the data again (times), as `fdatasync(2)` does.
    package mutating func prepareSync(_ descriptor: Int32, dataOnly: Bool, token: UInt64) throws(RingError) {
        let entry = unsafe try nextEntry(token)
        unsafe io_uring_prep_fsync(entry, descriptor, dataOnly ? UInt32(IORING_FSYNC_DATASYNC) : 0)
    }

    /// Prepares turning a part of a file into a hole. The file's length does not change.
    package mutating func preparePunchHole(_ descriptor: Int32, at offset: UInt64, count: UInt64, token: UInt64) throws(RingError) {
        let entry = unsafe try nextEntry(token)
        unsafe io_uring_prep_fallocate(entry, descriptor, aerostat_punch_hole, off_t(offset), off_t(count))
    }
}

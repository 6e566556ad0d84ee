import AerostatGuestMemory
import AerostatHost
import AerostatIOUring
import AerostatMigration
import Glibc
import SystemPackage

// One operation: how it is handed to the kernel, and what its completion means.
extension FileTransport {
    /// - Parameter again: continues with the part that the slot has left.
    func begin(_ operation: FileOperation, in slot: FileSlot, again: Bool = false) throws(TransportError) {
        if !again { aim(slot, at: operation) }
        slot.isDirect = isDirect
        let number = opened.number
        let token = UInt64(slot.number)
        try mapping { (ring: inout Ring) throws(RingError) in
            switch operation {
            case .pages, .tables, .bytes, .zeros:
                try unsafe ring.prepareWrite(number, from: slot.address!, count: slot.missing, at: UInt64(slot.offset), token: token)
            case .compare:
                try unsafe ring.prepareRead(number, into: slot.address!, count: slot.missing, at: UInt64(slot.offset), token: token)
            case .punch(let run):
                let offset = begun.header.layout.offset(of: run.first)
                try ring.preparePunchHole(number, at: UInt64(offset), count: UInt64(run.byteCount), token: token)
            case .sync, .flush: try ring.prepareSync(number, dataOnly: true, token: token)
            case .syncFolder: try ring.prepareSync(opened.folderNumber!, dataOnly: false, token: token)
            case .errand, .then: preconditionFailure("no operation of the ring")
            }
        }
    }

    /// The file. It is created before anything is written.
    private var opened: OutputFile {
        guard let file else { preconditionFailure("an operation before there is a file") }
        return file
    }

    /// The image. It exists from the hello on.
    private var begun: Image {
        guard let image else { preconditionFailure("an operation before the hello") }
        return image
    }

    private func aim(_ slot: FileSlot, at operation: FileOperation) {
        let image = begun
        let layout = image.header.layout
        switch operation {
        case .pages(let run): slot.aim(at: run, of: memory!, offset: layout.offset(of: run.first))
        case .tables(let blocks):
            unsafe slot.stage(blocks.count * ImageLayout.blockBytes, offset: image.tables.offset(ofBlock: blocks.lowerBound)) { target in
                for (index, block) in blocks.enumerated() {
                    let start = index * ImageLayout.blockBytes
                    unsafe image.tables.copyBlock(block, into: UnsafeMutableRawBufferPointer(rebasing: target[start...]))
                }
            }
        case .bytes(let bytes, let offset):
            let blocks = (bytes.count + ImageLayout.blockBytes - 1) / ImageLayout.blockBytes
            unsafe slot.stage(blocks * ImageLayout.blockBytes, offset: offset) { target in
                unsafe memset(target.baseAddress!, 0, target.count)
                unsafe target.copyBytes(from: bytes)
            }
        case .zeros(let run):
            unsafe slot.stage(run.byteCount, offset: layout.offset(of: run.first)) { unsafe _ = memset($0.baseAddress!, 0, $0.count) }
        case .compare(let run, _): unsafe slot.stage(run.byteCount, offset: layout.offset(of: run.first)) { _ in }
        case .punch, .sync, .flush, .syncFolder, .errand, .then: break
        }
    }

    /// Records that an operation was done completely.
    func finished(_ operation: FileOperation, in slot: FileSlot) {
        switch operation {
        case .pages(let run), .zeros(let run): noteWritten(run.byteCount)
        case .tables(let blocks): noteWritten(blocks.count * ImageLayout.blockBytes)
        case .bytes(let bytes, _): noteWritten(bytes.count)
        case .compare(let run, let digests):
            noteRead(run.byteCount)
            for (index, expected) in digests.enumerated() {
                image?.comparison?.compare(run.first + index, expected: expected, found: slot.digest(ofStagedPage: index))
            }
        case .punch, .sync, .flush, .syncFolder, .errand, .then: break
        }
    }

    func failed(_ operation: FileOperation, _ code: Errno) throws(TransportError) {
        switch operation {
        case .punch(let run) where code == .notSupportedOnSocket || code == .notSupported: writeZerosInstead(of: run)
        case .punch: throw failure(SystemError("make a hole in the image", place: path, code: code))
        case .sync, .flush: throw failure(SystemError("get the image onto the disk", place: path, code: code))
        case .syncFolder: throw failure(SystemError("get the image's name onto the disk", place: path, code: code))
        case .compare(let run, _): throw failure(SystemError("read \(run) back from the image", place: path, code: code))
        case .pages, .tables, .bytes, .zeros, .errand, .then:
            throw failure(SystemError("write the image", place: path, code: code))
        }
    }

    func failure(_ error: SystemError) -> TransportError {
        switch error.code {
        // Counts the stored pages, not the bytes sent: pages that were sent again took no more room, and some are still on their way.
        case .noSpace, .diskQuotaExceeded: .noSpace(path: path, written: (image?.tables.counts().data ?? 0) * GuestPage.size)
        default: .system(operation: error.operation, reason: "\(error.place): \(error.code)")
        }
    }
}

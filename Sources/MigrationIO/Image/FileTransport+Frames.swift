import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import Glibc

// Handling of the source's frames.
extension FileTransport {
    func accept(_ frame: Frame) throws(TransportError) {
        switch frame {
        case .hello(let hello): try create(for: hello)
        case .roundBegin: queue.append(.then(.barrier))
        case .runs(let runs, _): try store(runs)
        case .roundEnd(let round):
            roundEnd = MonotonicClock.now()
            queue += [.then(.writeTables)] + (sync == .rounds ? [.sync] : []) + [.then(.answer(.progress(round: round)))]
        case .deviceState(let section): image?.state.sections.append(section)
        case .digests(let digests): compare(digests)
        case .switchover(_, let runs):
            image?.header.guestRuns = runs
            queue.append(.then(.writeRest))
        case .commit: commit()
        case .abort, .ready, .running, .progress: preconditionFailure("the source sent a \(frame.kind) frame")
        }
    }

    private func create(for hello: Hello) throws(TransportError) {
        let header = ImageHeader(id: hello.session, begun: WallClock.milliseconds(), regions: hello.regions, creator: AerostatVersion.text)
        do throws(SystemError) {
            let tables = try ImageTables(header.layout)
            let comparison = hello.capabilities.contains(.verify) ? try ImageComparison(tables) : nil
            let state = ImageDeviceState(requirements: hello.requirements, sections: [])
            image = Image(header: header, tables: tables, comparison: comparison, state: state)
        } catch {
            throw failure(error)
        }
        queue += [.errand(.create), .errand(.setLength(header.layout.deviceStateOffset))]
        // Write the block of the moved-on mark too, so that it can be written later even if the disk is full.
        let beginning = header.encode() + [UInt8](repeating: 0, count: ImageLayout.blockBytes)
        queue += [.bytes(beginning, offset: 0), .then(.answer(.hello(hello.answer)))]
    }

    private func store(_ runs: [RunDescriptor]) throws(TransportError) {
        guard let tables = image?.tables, let memory else { preconditionFailure("pages came before the hello") }
        for descriptor in runs {
            switch descriptor.kind {
            case .data:
                tables.noteData(descriptor.run) { memory.checksum($0) }
                for piece in descriptor.run.slices(ofAtMost: Self.piecePages) { queue.append(.pages(piece)) }
            case .zero: clear(tables.noteZero(descriptor.run))
            case .free: clear(tables.noteFree(descriptor.run))
            }
        }
    }

    /// Removes the old data of these pages, including data that is being written at this moment: a page may be hinted after it was sent.
    private func clear(_ runs: [PageRun]) {
        if !runs.isEmpty { queue.append(.then(.barrier)) }
        for run in runs {
            if punchesHoles {
                queue.append(.punch(run))
            } else {
                for piece in run.slices(ofAtMost: FileSlot.stagingPages) { queue.append(.zeros(piece)) }
            }
        }
    }

    /// The file system cannot punch holes. From now on zeros are written instead.
    func writeZerosInstead(of run: PageRun) {
        punchesHoles = false
        let zeros = run.slices(ofAtMost: FileSlot.stagingPages).map { FileOperation.zeros($0) }
        queue.insert(contentsOf: zeros, at: queue.startIndex)
    }

    /// Reads back only pages with data. The others are known to read as zero.
    private func compare(_ digests: DigestRun) {
        guard let image else { preconditionFailure("digests came before the hello") }
        let run = PageRun(first: digests.first, count: digests.digests.count)
        var position = run.first
        func compareHoles(upTo end: PageIndex) {
            while position < end {
                self.image?.comparison?.compare(position, expected: digests.digests[position.rawValue - run.first.rawValue], found: nil)
                position = position + 1
            }
        }
        for stored in image.tables.data.runs(within: run) {
            compareHoles(upTo: stored.first)
            for piece in stored.slices(ofAtMost: FileSlot.stagingPages) {
                let start = piece.first.rawValue - run.first.rawValue
                queue.append(.compare(piece, digests.digests[start..<start + piece.count]))
            }
            position = stored.end
        }
        compareHoles(upTo: run.end)
    }

    // MARK: Steps

    func perform(_ step: FileStep) {
        switch step {
        case .barrier: break
        case .answer(let frame):
            if case .progress = frame { noteSettled() }
            answers.append(frame)
        case .writeTables: queueChangedTables()
        case .writeRest: queueRest()
        case .seal: seal()
        case .answerReady:
            answers.append(.ready(image?.comparison?.ready ?? Ready()))
        }
    }

    /// Queues the changed tables before the operations that depend on them.
    private func queueChangedTables() {
        guard let tables = image?.tables else { return }
        var blocks: [FileOperation] = []
        let blocksPerWrite = FileSlot.stagingBytes / ImageLayout.blockBytes
        while let range = tables.takeChangedBlocks(maximumCount: blocksPerWrite) { blocks.append(.tables(range)) }
        queue = blocks + queue
    }

    private func queueRest() {
        guard var image else { preconditionFailure("the switchover came before the hello") }
        let state = image.state.encode()
        image.header.requirements = image.state.requirements.count
        image.header.deviceSections = image.state.sections.count
        image.header.deviceStateBytes = state.count
        image.header.deviceStateChecksum = CRC32C.of(state)
        image.header.bitmapsChecksum = image.tables.checksum(over: [.data, .zero, .free])
        image.header.checksumsChecksum = image.tables.checksum(over: [.checksums])
        (image.header.dataPages, image.header.zeroPages, image.header.freePages) = image.tables.counts()
        self.image = image
        queue.append(.errand(.setLength(image.header.fileBytes)))
        var start = 0
        while start < state.count {
            let piece = Array(state[start..<min(start + FileSlot.stagingBytes, state.count)])
            queue.append(.bytes(piece, offset: image.header.layout.deviceStateOffset + start))
            start += piece.count
        }
        queue += (sync == .none ? [] : [.sync]) + [.then(.seal)]
        queueChangedTables()
    }

    /// Writes the completeness mark into the partial file before the source commits. After that only the rename is left, and until the
    /// rename the source may back out.
    private func seal() {
        guard var image else { preconditionFailure("the switchover came before the hello") }
        image.comparison?.finish()
        if image.comparison?.ready.differences ?? 0 == 0 {
            image.header.isComplete = true
            image.header.finished = WallClock.milliseconds()
            queue.append(.bytes(image.header.encode(), offset: 0))
            if sync != .none { queue.append(.sync) }
        }
        self.image = image
        queue.append(.then(.answerReady))
    }

    /// When this is done, the image has its final name, or there is no image.
    private func commit() {
        queue.append(.errand(.publish))
        if sync != .none { queue.append(.syncFolder) }
        queue.append(.then(.answer(.running)))
    }
}

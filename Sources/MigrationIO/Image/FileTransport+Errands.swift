import AerostatHost
import AerostatMigration

// What another thread does for the file, and what takes long.
extension FileTransport {
    func begin(_ errand: FileErrands.Errand) {
        self.errand = (errand, MonotonicClock.now())
        if case .publish = errand { noteRenaming() }
        errands.begin(errand)
    }

    /// Looks whether the other thread is done.
    func takeErrand() throws(TransportError) {
        guard let outcome = errands.takeOutcome(), let (errand, _) = errand.take() else { return }
        switch outcome {
        case .done: finished(errand)
        case .failed(let error):
            if case .publish = errand { noteNotRenamed() }
            throw failure(error)
        case .unknown(let error): throw .outcomeUnknown("\(failure(error)); it cannot be told whether the image has its name")
        }
    }

    private func finished(_ errand: FileErrands.Errand) {
        switch errand {
        case .create: useFile()
        case .setLength: break
        case .publish: notePublished()
        }
    }

    /// What takes its time at this moment, for whoever wonders.
    var waitingFor: String? {
        let recently = MonotonicClock.now() - .seconds(1)
        if let errand, errand.since < recently { return words(errand.errand) }
        let slow = slots.first { $0.since < recently && $0.operation != nil }
        return slow?.operation.map {
            $0.isTraffic ? "the disk to take a write to \(path)" : "the disk to have all that was written to \(path)"
        }
    }

    private func words(_ errand: FileErrands.Errand) -> String {
        switch errand {
        case .create: "the disk to make \(path).partial"
        case .setLength: "the disk to extend \(path).partial"
        case .publish: "the disk to rename \(path).partial to \(path): until it does the guest is in neither place for certain"
        }
    }
}

import AerostatHost
import AerostatMigration

// The errands of the other thread, and what takes long.
extension FileTransport {
    func begin(_ errand: FileErrands.Errand) {
        self.errand = (errand, MonotonicClock.now())
        if case .publish = errand { noteRenaming() }
        errands.begin(errand)
    }

    /// Takes the outcome if the other thread is done.
    func takeErrand() throws(TransportError) {
        guard let outcome = errands.takeOutcome(), let (errand, _) = errand.take() else { return }
        switch outcome {
        case .done: finished(errand)
        case .failed(let error):
            if case .publish = errand { noteNotRenamed() }
            throw failure(error)
        case .unknown(let error): throw .outcomeUnknown("\(failure(error)); it is unknown whether the image was renamed")
        }
    }

    private func finished(_ errand: FileErrands.Errand) {
        switch errand {
        case .create: useFile()
        case .setLength: break
        case .publish: notePublished()
        }
    }

    /// What the transport is waiting for at this moment, for a person who wonders.
    var waitingFor: String? {
        let recently = MonotonicClock.now() - .seconds(1)
        if let errand, errand.since < recently { return words(errand.errand) }
        let slow = slots.first { $0.since < recently && $0.operation != nil }
        return slow?.operation.map {
            $0.isTraffic ? "the disk to take a write to \(path)" : "the disk to store what was written to \(path)"
        }
    }

    private func words(_ errand: FileErrands.Errand) -> String {
        switch errand {
        case .create: "the disk to create \(path).partial"
        case .setLength: "the disk to extend \(path).partial"
        case .publish: "the disk to rename \(path).partial to \(path): until then it is not certain where the guest is"
        }
    }
}

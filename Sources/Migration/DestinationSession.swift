public import AerostatGuestMemory

/// The destination's side as a state machine: a frame goes in, the effects to perform come out, in order.
///
/// It decides what a frame may do where; `DestinationMigration` reads the frames and performs the effects.
public struct DestinationSession: Sendable {
    /// What the driver of the destination has to do.
    public enum Effect: Hashable, Sendable {
        /// Build the guest's memory in the hello's shape, by what the guest requires, then give the hello's answer.
        case accept(Hello)
        /// Tell the peer and end.
        case refuse(String)
        /// The pages follow on the link: data goes into guest memory.
        case apply([RunDescriptor])
        case acknowledge(round: UInt32)
        case compare(DigestRun)
        /// Finish the comparison (where one was asked for), load the device state and answer with ready.
        case prepare([DeviceSection], verifies: Bool, guestRuns: Bool)
        /// Let the guest run (unless it was paused at the source), then say so.
        case run
        /// The source gave up.
        case end(String)
    }

    private enum State {
        case awaitingHello
        case receiving
        case prepared
        case over
    }

    /// What the guest must look like; `nil` takes the source's shape.
    private let shape: RegionTable?
    private var state = State.awaitingHello
    private var sections: [DeviceSection] = []
    private var verifies = false
    private(set) public var regions: RegionTable?

    public init(shape: RegionTable?) { self.shape = shape }

    /// Whether a hello was accepted: from then on a failure ends this process's part.
    public var isGreeted: Bool { regions != nil }

    /// Whether memory is coming in, or device state: the source waits for words that only this side knows the time of.
    public var isReceiving: Bool { state == .receiving }

    /// Takes the next frame. Throws where it may not come now, or is not as it must be.
    public mutating func handle(_ frame: Frame) throws(StreamError) -> [Effect] {
        switch (state, frame) {
        case (.awaitingHello, .hello(let hello)):
            if let refusal = hello.refusal(shape: shape) {
                state = .over
                return [.refuse(refusal)]
            }
            state = .receiving
            regions = hello.regions
            verifies = hello.capabilities.contains(.verify)
            return [.accept(hello)]

        case (.receiving, .roundBegin): return []
        case (.receiving, .runs(let runs, _)):
            // Ascending, as the source sends them: so one frame costs at most one pass over memory.
            for (run, next) in zip(runs, runs.dropFirst()) where next.run.first < run.run.end {
                throw .malformed("runs that overlap or are out of order")
            }
            return [.apply(runs)]
        case (.receiving, .roundEnd(let round)): return [.acknowledge(round: round)]

        case (.receiving, .deviceState(let section)):
            sections.append(section)
            try DeviceSection.limit(count: sections.count)
            return []

        case (.receiving, .digests(let digests)):
            guard verifies else { throw .unexpected(.digests, during: "although no verification was agreed") }
            return [.compare(digests)]

        case (.receiving, .switchover(let count, let runs)):
            guard count == sections.count else {
                throw .malformed("switchover announces \(count) device sections, \(sections.count) came")
            }
            state = .prepared
            return [.prepare(sections, verifies: verifies, guestRuns: runs)]

        case (.prepared, .commit):
            state = .over
            return [.run]

        case (.awaitingHello, .abort(let reason)), (.receiving, .abort(let reason)), (.prepared, .abort(let reason)):
            state = .over
            return [.end(reason)]

        case (.awaitingHello, _): throw .unexpected(frame.kind, during: "before the hello")
        case (.receiving, _): throw .unexpected(frame.kind, during: "while memory was being received")
        case (.prepared, _): throw .unexpected(frame.kind, during: "after the switchover")
        case (.over, _): throw .unexpected(frame.kind, during: "after the end")
        }
    }
}

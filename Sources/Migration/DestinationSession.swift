public import AerostatGuestMemory

/// The destination's side of a migration as a state machine: a frame goes in, the effects to perform come out, in order.
///
/// It decides which frames are allowed in which state. `DestinationMigration` reads the frames and performs the effects.
public struct DestinationSession: Sendable {
    /// What the destination's driver must do.
    public enum Effect: Hashable, Sendable {
        /// Build the guest's memory in the shape that the hello gives, with what the guest requires, then answer the hello.
        case accept(Hello)
        /// Tell the peer the reason and end.
        case refuse(String)
        /// The pages follow on the link; data goes into guest memory.
        case apply([RunDescriptor])
        case acknowledge(round: UInt32)
        case compare(DigestRun)
        /// Finish the comparison (if one was asked for), load the device state and answer with ready.
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

    /// The shape that the guest must have; `nil` accepts the source's shape.
    private let shape: RegionTable?
    private var state = State.awaitingHello
    private var sections: [DeviceSection] = []
    private var verifies = false
    private(set) public var regions: RegionTable?

    public init(shape: RegionTable?) { self.shape = shape }

    /// Whether a hello was accepted: from then on a failure ends this process's part.
    public var isGreeted: Bool { regions != nil }

    /// Whether memory or device state is coming in. The source then waits for answers that only this side can time.
    public var isReceiving: Bool { state == .receiving }

    /// Takes the next frame. Throws if the frame may not come now or is malformed.
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
            // Runs must ascend, as the source sends them, so one frame costs at most one pass over memory.
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

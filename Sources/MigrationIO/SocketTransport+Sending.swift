import AerostatGuestMemory
import AerostatHost
import AerostatIOUring
import AerostatMigration
import CLiburing
import SystemPackage

/// One outgoing frame: the bytes of its header and body, and the pieces of guest memory that follow.
@safe
final class OutgoingMessage {
    /// The size of the largest header and body.
    private static let capacity = FrameHeader.byteCount + FrameHeader.maximumBodyBytes
    private let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
    var pieces = ScatterGather()
    /// Keeps the guest's mapping alive while the kernel reads from it.
    private var memory: GuestRAM?

    deinit { unsafe bytes.deallocate() }

    func fill(_ frame: Frame, sequence: UInt32, memory: GuestRAM?) {
        let encoded = frame.encode(sequence: sequence)
        unsafe bytes.copyBytes(from: encoded)
        pieces.removeAll()
        unsafe pieces.append(bytes.baseAddress!, encoded.count)
        self.memory = memory
        guard case .runs(let runs, _) = frame else { return }
        for descriptor in runs where descriptor.kind == .data {
            guard let memory else { preconditionFailure("data runs without guest memory") }
            unsafe pieces.append(memory.hostAddress(of: descriptor.run), descriptor.run.byteCount)
        }
    }
}

extension SocketTransport {
    var canSend: Bool { filledOutgoing < outgoing.count }
    var hasSentAll: Bool { filledOutgoing == 0 }

    func send(_ frame: Frame, from memory: GuestRAM?) throws(TransportError) {
        precondition(canSend, "the link was handed a frame while it was full")
        let message = outgoing[(firstOutgoing + filledOutgoing) % outgoing.count]
        message.fill(frame, sequence: outgoingSequence, memory: memory)
        outgoingSequence &+= 1
        filledOutgoing += 1
        if filledOutgoing == 1 { try submitFirst(moved: 0) }
    }

    /// Starts or continues the oldest message. Completed messages make room for the next.
    private func submitFirst(moved: Int) throws(TransportError) {
        var moved = moved
        while filledOutgoing > 0 {
            let message = outgoing[firstOutgoing]
            if message.pieces.advance(moved) > 0 {
                return try mapping("send") { (ring: inout Ring) throws(RingError) in
                    try unsafe ring.prepareSend(socket.number, message: message.pieces.message, token: Token.send.rawValue)
                    try ring.submit()
                }
            }
            moved = 0
            firstOutgoing = (firstOutgoing + 1) % outgoing.count
            filledOutgoing -= 1
        }
    }

    /// - Returns: whether a message was sent completely.
    func sendCompleted(_ completion: Completion) throws(TransportError) -> Bool {
        let before = filledOutgoing
        if let failure = completion.failure {
            // A signal or a full queue does not end the link: send the same message again.
            guard failure == .interrupted || failure == .resourceTemporarilyUnavailable else {
                throw .system(operation: "send to the other side", reason: "\(failure)")
            }
        }
        let moved = max(0, Int(completion.result))
        bytesSent += moved
        try submitFirst(moved: moved)
        return filledOutgoing < before
    }
}

import AerostatHost

/// What people have said to the guest and it has not read yet: its serial port holds a few bytes, and says when it has room again.
package final class ConsoleInput: Sendable {
    /// Takes bytes for the guest, and says how many of them there was room for.
    package typealias Receiver = @Sendable ([UInt8]) -> Int

    private static let capacityBytes = 4096

    private struct State {
        var pending: [UInt8] = []
        var receiver: Receiver?
        /// It is worth asking the port.
        var hasRoom = true
        var isOver = false
    }

    private let state = Monitor(State())

    package init() {}

    /// There is a guest now.
    package func attach(_ receiver: @escaping Receiver) { state.update { ($0.receiver, $0.hasRoom) = (receiver, true) } }

    /// The port has room. Called under the port's lock, so nothing is handed over here.
    package func guestHasRoom() { state.update { $0.hasRoom = true } }

    /// Takes bytes for the guest.
    /// - Parameter waits: whether to sleep where the guest is behind, so that whoever writes has to wait too; else what does not fit is
    ///   lost.
    package func put(_ bytes: [UInt8], waits: Bool) {
        if waits { _ = state.wait { $0.isOver || $0.pending.count < Self.capacityBytes ? true : nil } }
        state.update { state in
            let room = waits ? bytes.count : max(0, Self.capacityBytes - state.pending.count)
            state.pending += bytes.prefix(room)
        }
    }

    /// Hands bytes over, on the calling thread, until the end.
    package func run() {
        while let (receiver, bytes) = next() {
            let count = receiver(bytes)
            state.update { state in
                state.pending.removeFirst(count)
                if count == bytes.count { state.hasRoom = true }
            }
        }
    }

    private func next() -> (Receiver, [UInt8])? {
        state.wait { state -> (Receiver, [UInt8])?? in
            if state.isOver { return .some(nil) }
            guard let receiver = state.receiver, state.hasRoom, !state.pending.isEmpty else { return nil }
            // Before the port is asked: it may say so again at once.
            state.hasRoom = false
            return (receiver, state.pending)
        }.flatMap(\.self)
    }

    package func end() { state.update { ($0.isOver, $0.receiver) = (true, nil) } }
}

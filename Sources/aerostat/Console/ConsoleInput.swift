import AerostatHost

/// Input that the guest has not read yet. Its serial port holds a few bytes, and says when it has room again.
package final class ConsoleInput: Sendable {
    /// Takes bytes for the guest, and returns how many of them had room.
    package typealias Receiver = @Sendable ([UInt8]) -> Int

    private static let capacityBytes = 4096

    private struct State {
        var pending: [UInt8] = []
        var receiver: Receiver?
        /// Whether it is worth offering bytes to the port.
        var hasRoom = true
        var isOver = false
    }

    private let state = Monitor(State())

    package init() {}

    /// From now on this guest gets the input.
    package func attach(_ receiver: @escaping Receiver) { state.update { ($0.receiver, $0.hasRoom) = (receiver, true) } }

    /// The port has room again. Called under the port's lock, so no bytes are handed over here.
    package func guestHasRoom() { state.update { $0.hasRoom = true } }

    /// Queues bytes for the guest.
    /// - Parameter waits: whether to sleep while the guest is behind, so that the sender has to wait too. Otherwise bytes that do not fit
    ///   are lost.
    package func put(_ bytes: [UInt8], waits: Bool) {
        if waits { _ = state.wait { $0.isOver || $0.pending.count < Self.capacityBytes ? true : nil } }
        state.update { state in
            let room = waits ? bytes.count : max(0, Self.capacityBytes - state.pending.count)
            state.pending += bytes.prefix(room)
        }
    }

    /// Hands bytes to the guest, on the calling thread, until the end.
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
            // Cleared before the port is offered bytes: it may say at once that it has room again.
            state.hasRoom = false
            return (receiver, state.pending)
        }.flatMap(\.self)
    }

    package func end() { state.update { ($0.isOver, $0.receiver) = (true, nil) } }
}

import AerostatHost
import Glibc

/// Two sockets with a forwarder between them that can stop in the middle of a frame.
package final class ScriptedLink: Sendable {
    /// What happens to one direction.
    package enum Fate: Hashable, Sendable {
        case open
        /// After this many bytes the whole link is gone.
        case cut(after: Int)
        /// After this many bytes this direction ends; the other one lives.
        case halfClose(after: Int)
        /// After this many bytes nothing is read any more.
        case stall(after: Int)
        /// A slow link that accepts no more than it can carry.
        case slow(bytesPerSecond: Int)
        /// A slow link that accepts everything at once, as a tunnel with large buffers does.
        case tunnel(bytesPerSecond: Int)
    }

    /// The ends for the two sides. Whoever takes one closes it.
    package let sourceEnd: Int32
    package let destinationEnd: Int32
    private let nearSource: OwnedDescriptor
    private let nearDestination: OwnedDescriptor
    private let forwarded = Locked(0)
    private let threads = Locked<[HostThread]>([])

    package init(toDestination: Fate = .open, toSource: Fate = .open) throws {
        let (a, b) = try connectedSockets()
        let (c, d) = try connectedSockets()
        (sourceEnd, destinationEnd) = (a, d)
        nearSource = OwnedDescriptor(adopting: b)
        nearDestination = OwnedDescriptor(adopting: c)
        let forward = try HostThread(name: "forward") { [self] in carry(nearSource.number, nearDestination.number, toDestination) }
        let backward = try HostThread(name: "backward") { [self] in carry(nearDestination.number, nearSource.number, toSource) }
        threads.withLock { $0 = [forward, backward] }
    }

    private func carry(_ from: Int32, _ to: Int32, _ fate: Fate) {
        switch fate {
        case .slow(let rate): pumpSlowly(rate, to) { receivePiece(from) }
        case .tunnel(let rate):
            // `nil` at the end.
            let store = Monitor<[[UInt8]?]>([])
            let filler = try? HostThread(name: "tunnel") { [self] in
                while let piece = receivePiece(from) { store.update { $0.append(piece) } }
                store.update { $0.append(nil) }
            }
            pumpSlowly(rate, to) { store.wait { $0.isEmpty ? nil : .some($0.removeFirst()) }.flatMap(\.self) }
            filler?.join()
        case .open, .cut, .halfClose, .stall: pump(from, to, fate)
        }
    }

    private func receivePiece(_ from: Int32) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe recv(from, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            return count > 0 ? Array(buffer[..<count]) : nil
        }
    }

    private func pumpSlowly(_ bytesPerSecond: Int, _ to: Int32, _ next: () -> [UInt8]?) {
        let start = MonotonicClock.now()
        var sent = 0
        while let piece = next() {
            let due = start + .seconds(fromRate: Double(sent) / Double(bytesPerSecond))
            HostThread.sleep(for: max(.zero, MonotonicClock.now().duration(to: due)))
            guard sendAll(piece[...], to: to) else { break }
            sent += piece.count
            if to == nearDestination.number { forwarded.withLock { $0 += piece.count } }
        }
        _ = shutdown(to, Int32(SHUT_WR))
    }

    /// The number of bytes that were sent to the destination.
    package var forwardedBytes: Int { forwarded.withLock { $0 } }

    /// Ends the threads that still run.
    package func end() {
        for number in [nearSource.number, nearDestination.number] { _ = shutdown(number, Int32(SHUT_RDWR)) }
        for thread in threads.withLock({ $0 }) { thread.join() }
    }

    private func pump(_ from: Int32, _ to: Int32, _ fate: Fate) {
        var budget: Int
        switch fate {
        case .open, .slow, .tunnel: budget = .max
        case .cut(let bytes), .halfClose(let bytes), .stall(let bytes): budget = bytes
        }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while budget > 0 {
            let count = unsafe recv(from, &buffer, min(buffer.count, budget), 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0, sendAll(buffer[..<count], to: to) else { break }
            budget -= count
            if to == nearDestination.number { forwarded.withLock { $0 += count } }
        }
        switch fate {
        case .stall where budget == 0: return
        case .halfClose where budget == 0:
            _ = shutdown(to, Int32(SHUT_WR))
            while unsafe recv(from, &buffer, buffer.count, 0) > 0 {}
        case .cut where budget == 0:
            for number in [from, to] { _ = shutdown(number, Int32(SHUT_RDWR)) }
        default: _ = shutdown(to, Int32(SHUT_WR))
        }
    }
}

/// Sends all bytes. Returns false if the other side is gone.
@discardableResult
package func sendAll(_ bytes: ArraySlice<UInt8>, to number: Int32) -> Bool {
    unsafe bytes.withUnsafeBytes { buffer in
        var done = 0
        while done < buffer.count {
            let sent = unsafe send(number, buffer.baseAddress! + done, buffer.count - done, Int32(MSG_NOSIGNAL))
            if sent < 0, errno == EINTR { continue }
            if sent <= 0 { return false }
            done += sent
        }
        return true
    }
}

/// Shuts down the writing direction of this end.
package func closeForWriting(_ number: Int32) { _ = shutdown(number, Int32(SHUT_WR)) }

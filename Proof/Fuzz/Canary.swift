import AerostatHost
import AerostatMigration

/// A bug that is planted, behind checks like those of a stream: as long as it is found, the set-up finds things.
enum Canary: FuzzTarget {
    static func run(_ input: [UInt8]) {
        var reader = StreamReader(input)
        guard (try? reader.take("field", UInt32.self)) == FrameHeader.magic, let count = try? reader.take("field", UInt16.self), count <= 4
        else { return }
        var lengths: [UInt8] = []
        for _ in 0..<count { if let length = try? reader.take("field", UInt8.self) { lengths.append(length) } }
        // Fewer may have come than were announced.
        demand(count < 2 || lengths.count == Int(count), "the canary lives")
    }
}

import CLibFuzzer
import Foundation

/// One part of Aerostat that reads what others wrote.
protocol FuzzTarget {
    /// Takes any bytes; what they are is the target's affair. Traps where a promise is broken, and returns from everything else.
    static func run(_ input: [UInt8])
}

/// libFuzzer starts the program again under the name that it has: so a target is chosen by a link with the target's name.
@main struct Fuzz {
    private typealias Entry = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32

    private static let targets: [String: Entry] = unsafe [
        "canary": { unsafe run(Canary.self, $0, $1) },
        "stream": { unsafe run(StreamTarget.self, $0, $1) },
        "image": { unsafe run(ImageTarget.self, $0, $1) },
        "qmp": { unsafe run(QMPTarget.self, $0, $1) },
        "device": { unsafe run(DeviceTarget.self, $0, $1) },
        "entropy": { unsafe run(EntropyTarget.self, $0, $1) },
        "values": { unsafe run(ValuesTarget.self, $0, $1) },
        "dump": { unsafe run(DumpTarget.self, $0, $1) },
    ]

    private static func run(_ target: any FuzzTarget.Type, _ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        unsafe target.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    }

    static func main() throws {
        let arguments = CommandLine.arguments
        let name = arguments[0].split(separator: "/").last.map(String.init) ?? ""
        if name == "fuzz", arguments.count == 3, arguments[1] == "seeds" { return try Seeds.write(to: arguments[2]) }
        guard let entry = unsafe targets[name] else {
            print(unsafe targets.keys.sorted().joined(separator: "\n"))
            return
        }
        var count = CommandLine.argc
        var vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe CommandLine.unsafeArgv
        exit(unsafe LLVMFuzzerRunDriver(&count, &vector, entry))
    }
}

/// A promise that an input must not break: says which, and traps. libFuzzer keeps the input.
func demand(_ holds: Bool, _ promise: @autoclosure () -> String) {
    if !holds { fatalError("broken promise: \(promise())") }
}

/// An input, taken apart from its front. Behind its end there are zeros.
struct FuzzInput {
    let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }

    mutating func take<Value: FixedWidthInteger & UnsignedInteger>(_ type: Value.Type = Value.self) -> Value {
        let count = min(MemoryLayout<Value>.size, remaining)
        var value: Value = 0
        for index in 0..<count { value |= Value(bytes[position + index]) << Value(8 * index) }
        position += count
        return value
    }

    /// As many as there are, up to `count`.
    mutating func take(atMost count: Int) -> [UInt8] {
        let end = position + min(count, remaining)
        defer { position = end }
        return Array(bytes[position..<end])
    }
}

/// What cannot fail unless the harness is wrong, or the machine is out of something.
func must<Result>(_ body: () throws -> Result) -> Result {
    do { return try body() } catch { fatalError("the harness failed: \(error)") }
}

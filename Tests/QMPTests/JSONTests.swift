import AerostatMigration
import AerostatQMP
import Foundation
import TestSupport
import Testing

@Suite struct JSONTests {
    /// A random document of at most `depth` levels.
    private func document(_ random: inout some RandomNumberGenerator, depth: Int) -> JSONValue {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
        case 0: .null
        case 1: .bool(.random(using: &random))
        case 2: .integer(.random(in: .min ... .max, using: &random))
        case 3: .integer(.random(in: -10...10, using: &random))
        case 4: .number(Double.random(in: -1...1, using: &random) * [1e-300, 1e-5, 1, 1e20, 1e300].randomElement(using: &random)!)
        case 5: .string(string(&random))
        case 6: .array((0..<Int.random(in: 0...5, using: &random)).map { _ in document(&random, depth: depth - 1) })
        default:
            .object(
                Dictionary(
                    (0..<Int.random(in: 0...5, using: &random)).map { _ in (string(&random), document(&random, depth: depth - 1)) },
                    uniquingKeysWith: { $1 }
                )
            )
        }
    }

    private func string(_ random: inout some RandomNumberGenerator) -> String {
        let alphabet: [Unicode.Scalar] = ["a", "Z", "\"", "\\", "/", "\n", "\u{0}", "\u{1f}", "\u{7f}", "é", "\u{2028}", "𝄞", "\u{10ffff}"]
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...8, using: &random) { text.append(alphabet.randomElement(using: &random)!) }
        return String(text)
    }

    /// Whether Foundation parsed the same document.
    private func isSame(_ ours: JSONValue, _ theirs: Any) -> Bool {
        switch ours {
        case .null: theirs is NSNull
        case .bool(let value): (theirs as? Bool) == value
        case .integer(let value): (theirs as? NSNumber)?.int64Value == Int64(value)
        case .number(let value):
            // Foundation parses numbers through its decimal type here, and may be wrong in the last bit.
            (theirs as? NSNumber).map { abs($0.doubleValue - value) <= abs(value) * 1e-12 } ?? false
        case .numeral(let text): Double(text).map { isSame(.number($0), theirs) } ?? false
        case .string(let value): (theirs as? String).map { Array($0.unicodeScalars) } == Array(value.unicodeScalars)
        case .array(let items):
            (theirs as? [Any]).map { $0.count == items.count && zip(items, $0).allSatisfy { isSame($0, $1) } } ?? false
        case .object(let members):
            (theirs as? [String: Any]).map { other in
                other.count == members.count && members.allSatisfy { key, value in other[key].map { isSame(value, $0) } ?? false }
            } ?? false
        }
    }

    /// Whether the document has a number that a double cannot hold. We keep such a number; Foundation refuses it.
    private func isBeyondDoubles(_ document: JSONValue) -> Bool {
        switch document {
        case .numeral(let text): Double(text).map { !$0.isFinite } ?? true
        case .array(let items): items.contains(where: isBeyondDoubles)
        case .object(let members): members.values.contains(where: isBeyondDoubles)
        default: false
        }
    }

    @Test(arguments: [JSONValue.Layout.compact, .indented])
    func `Foundation reads what we write, and so do we`(_ layout: JSONValue.Layout) throws {
        var random = SeededGenerator.forTest()
        for _ in 0..<500 {
            let document = document(&random, depth: 4)
            let text = document.text(layout)
            let theirs = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
            #expect(isSame(document, theirs), "\(text)")
            #expect(try JSONParser.parse(text.utf8, limits: .request) == document, "\(text)")
        }
    }

    @Test func `we read what Foundation writes`() throws {
        var random = SeededGenerator.forTest()
        for _ in 0..<500 {
            let document = document(&random, depth: 4)
            let theirs = try JSONSerialization.jsonObject(with: Data(document.text().utf8), options: .fragmentsAllowed)
            for options: JSONSerialization.WritingOptions in [.fragmentsAllowed, [.fragmentsAllowed, .prettyPrinted]] {
                let text = try JSONSerialization.data(withJSONObject: theirs, options: options)
                let back = try JSONParser.parse(text, limits: .request)
                #expect(isSame(back, theirs), "\(String(decoding: text, as: UTF8.self))")
            }
        }
    }

    @Test func `a damaged document is refused or read, and we agree with Foundation if both read it`() throws {
        var random = SeededGenerator.forTest()
        var refused = 0
        for _ in 0..<3000 {
            var text = Array(document(&random, depth: 3).text().utf8)
            for _ in 0..<Int.random(in: 1...3, using: &random) where !text.isEmpty {
                let place = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.remove(at: place)
                case 1: text[place] = UInt8.random(in: 0...255, using: &random)
                default: text.insert(Array("{}[]\",:\\-.e10tn".utf8).randomElement(using: &random)!, at: place)
                }
            }
            guard let ours = try? JSONParser.parse(text, limits: .request) else {
                refused += 1
                continue
            }
            let theirs = try? JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)
            if isBeyondDoubles(ours) { continue }
            // Foundation accepts every other document that we accept: we are stricter.
            #expect(theirs.map { isSame(ours, $0) } == true, "\(String(decoding: text, as: UTF8.self))")
        }
        #expect(refused > 1000)
    }

    @Test(arguments: [
        "", " ", "{", "[1", "\"a", "{\"a\"}", "{\"a\":}", "{,}", "[1,]", "{\"a\":1,}", "[1 2]", "{]", "[}", "01", "-", "1.", ".5", "1e",
        "+1",
        "tru", "nul", "True", "'a'", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\u{1}\"",
        "{\"a\":1,\"a\":2}", "1 2", "1{", "1[", "{} x", "\"\\u+123\"",
    ])
    func `invalid JSON is refused`(_ text: String) {
        #expect(throws: JSONError.self) { try JSONParser.parse(text.utf8, limits: .request) }
    }

    @Test func `bytes that are not UTF-8 are refused`() {
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xff, 0x22] as [UInt8], limits: .request) }
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xc0, 0x80, 0x22] as [UInt8], limits: .request) }
    }

    @Test func `integers stay integers up to 64 bits`() throws {
        #expect(try JSONParser.parse("9223372036854775807".utf8, limits: .request) == .integer(.max))
        #expect(try JSONParser.parse("-9223372036854775808".utf8, limits: .request) == .integer(.min))
        #expect(try JSONParser.parse("9223372036854775808".utf8, limits: .request) == .numeral("9223372036854775808"))
        #expect(try JSONParser.parse("1.0".utf8, limits: .request) == .number(1))
        #expect(try JSONParser.parse("-0".utf8, limits: .request).integer == 0)
        #expect(try JSONParser.parse("1e2".utf8, limits: .request).integer == nil, "QMP's integers have no exponent")
    }

    @Test(arguments: [
        "0", "-0", "1", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809",
        "12345678901234567890", "18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211456", "1.0", "-0.0",
        "1.10", "1e2", "1E+2", "1e-7", "0.1", "0.30000000000000004", "1e400", "-1E-400", "1e308", "100.00000000000000000000001",
    ])
    func `a number is written as it was read`(_ text: String) throws {
        #expect(try JSONParser.parse(text.utf8, limits: .request).text() == text)
    }

    /// What our own client accepts from another server.
    @Test(arguments: [
        "1e400", "1e99999999999999999999", "-1E-99999999999999999999", "1e-400", "-0", "1e2", "9223372036854775808", "18446744073709551616",
        String(repeating: "9", count: 20_000), "0." + String(repeating: "0", count: 20_000) + "1",
        "1." + String(repeating: "0", count: 20_000),
        "1e" + String(repeating: "9", count: 20_000), "0e99999999999999999999",
    ])
    func `a report with any number in it is read or refused`(_ number: String) throws {
        let sound = try MigrationReport().encoded
        guard case .object(var members) = sound, case .object(var ram)? = members["ram"] else {
            preconditionFailure("a report is an object")
        }
        let numeral = try JSONParser.parse(number.utf8, limits: .reply)
        for (name, isDouble) in [("mbps", true), ("transferred", false)] {
            let before = ram[name]
            ram[name] = numeral
            members["ram"] = .object(ram)
            if let report = try? JSONValue.object(members).decode(MigrationReport.self) {
                #expect(isDouble ? report.ram.mbps == Double(number) : Double(report.ram.transferred) == Double(number))
                _ = MigrationText(report).progress
            }
            ram[name] = before
        }
    }

    @Test func `depth and length are limited`() {
        let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        #expect(throws: Never.self) { try JSONParser.parse(deep.utf8, limits: .request) }
        #expect(throws: JSONError.tooDeep(limit: 64, at: 64)) { try JSONParser.parse("[\(deep)]".utf8, limits: .request) }
        let long = "\"" + String(repeating: "a", count: (64 << 10) - 2) + "\""
        #expect(throws: Never.self) { try JSONParser.parse(long.utf8, limits: .request) }
        #expect(throws: JSONError.tooLong(limit: 64 << 10)) { try JSONParser.parse("\(long.dropLast())a\"".utf8, limits: .request) }
    }
}

extension MigrationReport {
    /// The document, with all its members.
    fileprivate var encoded: JSONValue { get throws { try JSONValue(encoding: self) } }
}

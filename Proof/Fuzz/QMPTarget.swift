import AerostatMigration
import AerostatQMP

/// What comes over the control socket, in both directions: the server's requests, and the client's replies, events and reports.
enum QMPTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        var stream = JSONStream(limits: .request)
        var documents: [JSONValue] = []
        for byte in input + [UInt8(ascii: "\n")] {
            switch stream.feed(byte) {
            case nil: break
            case .document(let document): documents.append(document)
            case .garbage(let error): demand(!error.description.isEmpty, "an error has words")
            }
        }
        for document in documents {
            expectRoundTrip(document)
            request(document)
            reply(document)
        }
        // A text that is one document is the same whichever way it is read.
        if let whole = try? JSONParser.parse(input, limits: .request) {
            demand(documents == [whole], "one document is one in a stream too")
        }
    }

    private static func expectRoundTrip(_ document: JSONValue) {
        for layout in [JSONValue.Layout.compact, .indented] {
            let text = document.text(layout)
            do throws(JSONError) {
                let again = try JSONParser.parse(text.utf8, limits: .reply)
                demand(again == document, "\(text) is read as what it was written from")
            } catch {
                demand(false, "\(text) cannot be read again: \(error)")
            }
        }
    }

    /// Commands of every kind of arguments, each of which sees that its arguments are written as they were read.
    private static let commands: CommandSet = {
        var set = CommandSet()
        set.perform(.stop) {}
        set.perform(.resume) { expectRoundTrip($0) }
        set.perform(.migrate) { expectRoundTrip($0) }
        set.perform(.saveMemory) { expectRoundTrip($0) }
        set.perform(.setMigrationParameters) { changes in
            expectRoundTrip(changes)
            apply(changes)
        }
        return set.servingProtocol
    }()

    private static func request(_ message: JSONValue) {
        _ = Envelope.id(of: message)?.text()
        guard let envelope = try? Envelope(message) else { return }
        _ = try? commands.prepare(envelope.name, envelope.arguments).perform()
        _ = try? Negotiation(reading: envelope.arguments).accept()
    }

    private static func expectRoundTrip(_ read: some CommandArguments) {
        demand((try? type(of: read).init(reading: read.arguments)) == read, "arguments are written as they were read")
    }

    private static func apply(_ changes: MigrationParameterChanges) {
        guard let parameters = try? changes.applied(to: MigrationParameters()) else { return }
        demand((try? parameters.validate()) != nil, "parameters that were taken are valid")
        for (name, value) in changes.arguments {
            demand(parameters.json[name] == value, "\(name) is \(value.text()) when it is asked for")
        }
    }

    private static func reply(_ message: JSONValue) {
        _ = Event(message: message)
        guard let report = try? (message["return"] ?? message).decode(MigrationReport.self) else { return }
        let words = MigrationText(report)
        _ = (words.progress, words.outcome, words.table)
        for state in RunState.allCases {
            _ = MigrationText.whereabouts(state, after: report, control: "control")
            _ = MigrationText.standing(state, after: report, control: "control")
        }
    }
}

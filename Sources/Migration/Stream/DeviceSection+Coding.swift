import AerostatHost

// The encoding of a section in frames and images: length of the name u32, name, version u32, length u32, bytes.
extension DeviceSection {
    init(_ reader: inout StreamReader) throws(StreamError) {
        let name = try reader.takeCountedText("device section name", maximum: Self.maximumNameBytes)
        let version: UInt32 = try reader.take("device section version")
        let bytes = try reader.takeCounted("device section", maximum: Self.maximumBytes)
        // Repairing foreign text may have made it longer.
        guard name.utf8.count <= Self.maximumNameBytes else { throw .malformed("device section name") }
        self.init(name: name, version: version, bytes: bytes)
    }

    func append(to writer: inout FieldBytes) {
        writer.appendCounted(name)
        writer.append(version)
        writer.appendCounted(bytes)
    }

    /// Reads the announced number of sections.
    static func list(_ reader: inout StreamReader, count: Int) throws(StreamError) -> [DeviceSection] {
        try limit(count: count)
        var sections: [DeviceSection] = []
        for _ in 0..<count { sections.append(try DeviceSection(&reader)) }
        return sections
    }

    /// Refuses more sections than a guest may have.
    static func limit(count: Int) throws(StreamError) {
        guard count <= maximumCount else {
            throw .limit("number of device sections", value: UInt64(count), maximum: UInt64(maximumCount))
        }
    }
}

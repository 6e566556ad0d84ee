/// The device sections as they stand in an image: for each, the name's length u32 and the name, the version u32, the length u32 and the bytes.
package enum ImageDeviceState {
    package static func encode(_ sections: [DeviceSection]) -> [UInt8] {
        var writer = ByteWriter()
        for section in sections { section.append(to: &writer) }
        return writer.bytes
    }

    /// - Parameters:
    ///   - bytes: all of them, after their checksum was found right.
    ///   - count: how many sections the header announces.
    package static func decode(_ bytes: [UInt8], count: Int) throws(StreamError) -> [DeviceSection] {
        var reader = ByteReader(bytes)
        var sections: [DeviceSection] = []
        for _ in 0..<count { sections.append(try DeviceSection(&reader)) }
        try reader.finish()
        return sections
    }
}

extension DeviceSection {
    /// Reads one section; a frame carries it in the same form.
    init(_ reader: inout ByteReader) throws(StreamError) {
        let name = try reader.readCountedText("device section name", maximum: Self.maximumNameBytes)
        let version = try reader.read(UInt32.self)
        let bytes = try reader.readCounted("device section", maximum: Self.maximumBytes)
        // Repairing foreign text may have made it longer.
        guard name.utf8.count <= Self.maximumNameBytes else { throw .malformed("device section name") }
        self.init(name: name, version: version, bytes: bytes)
    }

    func append(to writer: inout ByteWriter) {
        writer.appendCounted(name)
        writer.append(version)
        writer.appendCounted(bytes)
    }
}

import AerostatHost

/// What an image holds beside memory: what the guest requires, and behind it its devices' state. Each section stands as in a frame.
package struct ImageDeviceState: Hashable, Sendable {
    package var requirements: [DeviceSection]
    package var sections: [DeviceSection]

    package init(requirements: [DeviceSection], sections: [DeviceSection]) {
        self.requirements = requirements
        self.sections = sections
    }

    package func encode() -> [UInt8] {
        var writer = FieldBytes()
        for section in requirements + sections { section.append(to: &writer) }
        return writer.bytes
    }

    /// - Parameters:
    ///   - bytes: all of them, after their checksum was found right.
    ///   - header: announces how many sections there are.
    package init(decoding bytes: [UInt8], _ header: ImageHeader) throws(StreamError) {
        var reader = StreamReader(bytes)
        requirements = try DeviceSection.list(&reader, count: header.requirements)
        sections = try DeviceSection.list(&reader, count: header.deviceSections)
        try reader.finish()
    }
}

import AerostatHost

/// What an image holds besides memory: the guest's requirements, followed by the state of its devices. Sections are encoded as in a frame.
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
    ///   - bytes: all bytes of the part; their checksum must have been checked.
    ///   - header: says how many sections there are.
    package init(decoding bytes: [UInt8], _ header: ImageHeader) throws(StreamError) {
        var reader = StreamReader(bytes)
        requirements = try DeviceSection.list(&reader, count: header.requirements)
        sections = try DeviceSection.list(&reader, count: header.deviceSections)
        try reader.finish()
    }
}

package import Migration
package import Virtio

extension [DeviceSection] {
    /// The section with a name, which a guest's state must have.
    package func section(_ name: String) throws(DeviceStateError) -> DeviceSection {
        guard let section = first(where: { $0.name == name }) else { throw .missing(section: name) }
        return section
    }

    /// Its bytes, where it is of the one version that is known.
    package func bytes(of name: String, version: UInt32) throws(DeviceStateError) -> [UInt8] {
        let section = try section(name)
        guard section.version == version else { throw .version(section.version) }
        return section.bytes
    }
}

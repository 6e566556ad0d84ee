package import AerostatHost

extension HostLimits.Need {
    /// What any command needs. With less not even its first task runs. A thread takes 8 MiB of address space for its stack.
    package static let anything = HostLimits.Need(descriptors: 6, threads: 6, addressSpaceBytes: 64 << 20)
    /// What a command needs that talks to a control socket.
    package static let client = HostLimits.Need(descriptors: 12, threads: 8, addressSpaceBytes: 96 << 20)
    /// What a command needs that runs a guest and serves a control socket.
    package static let guest = HostLimits.Need(descriptors: 32, threads: 24, addressSpaceBytes: 384 << 20)
    /// What the control server needs once everything else is running.
    package static let server = HostLimits.Need(descriptors: 16, threads: 16, addressSpaceBytes: 256 << 20)
}

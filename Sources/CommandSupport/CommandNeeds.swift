package import AerostatHost

extension HostLimits.Need {
    /// Of any command: without it not even its first task is run. A thread takes 8 MiB of address space for its stack.
    package static let anything = HostLimits.Need(descriptors: 6, threads: 6, addressSpaceBytes: 64 << 20)
    /// Of one that speaks to a control socket.
    package static let client = HostLimits.Need(descriptors: 12, threads: 8, addressSpaceBytes: 96 << 20)
    /// Of one that runs a guest and serves a control socket.
    package static let guest = HostLimits.Need(descriptors: 32, threads: 24, addressSpaceBytes: 384 << 20)
    /// Of the control server alone, behind all else.
    package static let server = HostLimits.Need(descriptors: 16, threads: 16, addressSpaceBytes: 256 << 20)
}

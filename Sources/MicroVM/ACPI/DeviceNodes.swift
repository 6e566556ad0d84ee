// How the guest finds each device: a node in the ACPI name space (ACPI 6.5, chapter 6). The registry gets it together with the device.

extension SerialPort {
    package static let nodes: [AML.Term] = [
        AML.device(
            "COM1",
            AML.name("_HID", AML.compressedID("PNP0501")),
            AML.name("_UID", AML.integer(UInt8(0))),
            AML.name(
                "_CRS",
                AML.resources([
                    .ports(base: MachineLayout.serialPort, count: UInt8(SerialPort.portCount)),
                    .interrupt(MachineLayout.serialInterrupt),
                ])
            )
        )
    ]
}

extension PowerControl {
    package static let nodes: [AML.Term] = [powerButtonNode, eventDeviceNode]

    private static var powerButtonNode: AML.Term { AML.device("PWRB", AML.name("_HID", AML.compressedID("PNP0C0C"))) }

    /// The generic event device. Its interrupt tells the guest to look what happened.
    private static var eventDeviceNode: AML.Term {
        let wasPressed: UInt8 = 0x80
        return AML.device(
            "GED",
            AML.name("_HID", AML.string("ACPI0013")),
            AML.name("_CRS", AML.resources([.interrupt(MachineLayout.eventInterrupt)])),
            AML.ports("EVTR", from: MachineLayout.eventPort, "EVTS"),
            AML.method(
                "_EVT",
                arguments: 1,
                AML.store(AML.path("EVTS"), in: AML.local0),
                AML.ifNonzero(
                    AML.and(AML.local0, AML.integer(PowerControl.powerButton)),
                    AML.notify("\\_SB.PWRB", wasPressed)
                )
            )
        )
    }
}

extension AML {
    /// A virtio-mmio device (LNRO0005). `place` is its number among them, below 100.
    package static func virtioDevice(_ place: Int, base: UInt64, byteCount: UInt64, interrupt: UInt32) -> Term {
        device(
            "VR\(place / 10)\(place % 10)",
            name("_HID", string("LNRO0005")),
            name("_UID", integer(UInt8(place))),
            name("_CRS", resources([.memory(base: UInt32(base), byteCount: UInt32(byteCount)), .interrupt(interrupt)]))
        )
    }
}

package import AerostatGuestMemory

/// What lies where a PC's firmware would begin.
///
/// Linux on hardware-reduced ACPI (arch/x86/kernel/reboot.c, efi_reboot_required) restarts through EFI, and where there is no EFI by a jump
/// to the firmware, in 16-bit mode: it does not try the reset register. So what it finds there resets the machine.
package enum ResetVector {
    /// Pulls the reset line, and waits for it.
    private static let code: [UInt8] = [
        0xB0, PowerControl.keyboardReset,  // mov al, 0xFE
        0xE6, UInt8(PowerControl.keyboardPort),  // out 0x64, al
        0xF4,  // hlt
        0xEB, 0xFD,  // jmp back to hlt
    ]

    package static func write(into memory: GuestRAM) throws(AccessError) {
        try memory.write(code, at: BootLayout.resetVector)
    }
}

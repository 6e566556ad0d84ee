package import AerostatGuestMemory

/// The code at the address where a PC's firmware begins.
///
/// Linux on hardware-reduced ACPI (arch/x86/kernel/reboot.c, efi_reboot_required) restarts through EFI. Without EFI it jumps to the
/// firmware in 16-bit mode, and does not try the reset register. So the code at that address resets the machine.
package enum ResetVector {
    /// Pulls the reset line, then waits for the reset.
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

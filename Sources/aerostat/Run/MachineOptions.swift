import AerostatMicroVM
import AerostatQMP
import ArgumentParser

/// The options that only a guest under KVM has.
struct MachineOptions: ParsableArguments {
    @Option(help: "The Linux kernel: a bzImage or an ELF file (vmlinux).", completion: .file(), transform: Values.path)
    var kernel: String?

    @Option(help: "The kernel's initial RAM disk.", completion: .file(), transform: Values.path)
    var initrd: String?

    @Option(help: ArgumentHelp("The kernel's command line (default: \(Self.defaultCommandLine)).", valueName: "text"))
    var commandLine: String?

    @Option(
        help: ArgumentHelp(
            "Where the guest's serial port goes: stdio, unix:PATH (a socket to connect to), file:PATH or none (default: stdio for "
                + "--guest kvm, else none).",
            discussion: """
                With stdio the line with READY goes to standard error, so that standard output carries only the guest's output. At a \
                terminal the guest gets all keys except Ctrl-A: Ctrl-A x ends the process, Ctrl-A h shows help.
                """,
            valueName: "place"
        ),
        transform: { try ConsolePlace($0) }
    )
    var console: ConsolePlace?

    @Flag(help: "Make the machine without virtio-rng, so that it can move to a process of version 0.2.")
    var noRng = false

    @Flag(help: "When the guest powers off, resets itself or crashes, keep the process and the guest's memory for inspection.")
    var noShutdown = false

    static let defaultCommandLine = "console=ttyS0"

    /// Refuses the options that say what is started, if another option already decides that.
    func refuseMaking(with option: String) throws {
        let said = [("--kernel", kernel != nil), ("--initrd", initrd != nil), ("--command-line", commandLine != nil), ("--no-rng", noRng)]
        for (name, isSaid) in said where isSaid {
            throw ValidationError("\(name) has no meaning with \(option)")
        }
    }

    /// Refuses all of them, if the guest does not run under KVM.
    func refuseAll(with option: String) throws {
        try refuseMaking(with: option)
        for (name, isSaid) in [("--console", console != nil), ("--no-shutdown", noShutdown)] where isSaid {
            throw ValidationError("\(name) has no meaning with \(option)")
        }
    }
}

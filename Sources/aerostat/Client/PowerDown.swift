import AerostatControl
import AerostatQMP
import ArgumentParser

struct PowerDown: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "powerdown",
        abstract: "Presses the guest's power button.",
        discussion: """
            The guest decides what that means: Linux with an ACPI daemon, or a shell that reads the button's event device, powers off, and \
            the guest's process ends with it. 'aerostat quit' ends a guest that does not listen.

            Example:
              aerostat powerdown --control /run/guest.sock
            """
    )

    @OptionGroup var options: ControlOptions

    func run() async throws {
        let client = try await options.connect()
        let answer = try await client.execute(.powerDown)
        try options.print(answer, text: "the guest's power button was pressed")
    }
}

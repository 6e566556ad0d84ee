import AerostatControl
import AerostatQMP
import ArgumentParser

struct PowerDown: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "powerdown",
        abstract: "Presses the guest's power button.",
        discussion: """
            The guest decides what to do. Linux powers off if an ACPI daemon runs, or a shell that reads the button's event device. The \
            guest's process then ends too. 'aerostat quit' ends a guest that does not react.

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

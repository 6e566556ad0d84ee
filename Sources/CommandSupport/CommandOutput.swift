import AerostatHost
package import ArgumentParser

/// Writes the result of a command to standard output. If that fails, says so on standard error.
/// - Returns: whether it was written.
package func writeResult(_ text: String) -> Bool {
    do throws(StandardStream.Failure) {
        try StandardStream.output.write(text + "\n")
        return true
    } catch {
        writeToStandardError("Error: \(error); the result is lost\n")
        return false
    }
}

/// The same for a command that is over with it.
/// - Parameter code: what the command ends with. It goes before the code that says that nobody saw the result.
package func printResult(_ text: String, code: ExitCode = .success) throws(ExitCode) {
    let isWritten = writeResult(text)
    if code != .success { throw code }
    if !isWritten { throw .unwritten }
}

/// Text for people, beside what goes to standard output. Where nobody reads it, it is lost.
/// - Parameter patience: how long to wait for somebody who does not read it now.
package func writeToStandardError(_ text: String, patience: Duration = .milliseconds(200)) {
    try? StandardStream.error.write(text, patience: patience)
}

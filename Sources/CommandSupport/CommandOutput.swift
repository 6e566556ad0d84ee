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

/// Writes the result of a command that ends with it.
/// - Parameter code: the exit code. Any code but `.success` takes precedence over `.unwritten`, which says that nobody saw the result.
package func printResult(_ text: String, code: ExitCode = .success) throws(ExitCode) {
    let isWritten = writeResult(text)
    if code != .success { throw code }
    if !isWritten { throw .unwritten }
}

/// Writes text for people that is not part of the result. If nobody reads it, it is lost.
/// - Parameter patience: how long to wait for a reader that is slow.
package func writeToStandardError(_ text: String, patience: Duration = .milliseconds(200)) {
    try? StandardStream.error.write(text, patience: patience)
}

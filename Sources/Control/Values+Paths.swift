package import AerostatQMP

extension Values {
    /// The path of a control socket.
    package static func controlPath(_ text: String) throws(ValueError) -> String {
        do throws(ControlError) { try ControlError.check(path: text) } catch { throw ValueError(text, error.description) }
        return text
    }
}

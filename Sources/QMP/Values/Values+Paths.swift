extension Values {
    /// A path. An empty text is refused: it names nothing, or, after a folder's path, it names the folder.
    package static func path(_ text: String) throws(ValueError) -> String {
        guard !text.isEmpty else { throw ValueError(text, "a path must not be empty") }
        return text
    }

    /// An image, given as a path or as `file:PATH`.
    package static func image(_ text: String) throws(ValueError) -> String {
        _ = try path(text.hasPrefix("file:") ? String(text.dropFirst("file:".count)) : text)
        return text
    }
}

public import AerostatMigration

/// An image that cannot be used, and why.
public struct ImageRefused: Error, CustomStringConvertible {
    public let path: String
    public let error: ImageError

    public init(path: String, error: ImageError) { (self.path, self.error) = (path, error) }

    public var description: String {
        if case .system = error { return "\(error)" }
        return "\(path) is refused: \(error)"
    }
}

extension GuestImage {
    /// Opens an image that a person named by its path or as a URI.
    public static func named(_ name: String, for use: ImageUse = .reading) throws(ImageRefused) -> GuestImage {
        let path = name.hasPrefix("file:") ? String(name.dropFirst("file:".count)) : name
        do throws(ImageError) { return try GuestImage(opening: path, for: use) } catch { throw ImageRefused(path: path, error: error) }
    }
}

extension ImageError {
    /// Whether the file is an image that is damaged, and not something else.
    public var isDamage: Bool {
        switch self {
        case .checksum, .pageChecksum: true
        case .notAnImage, .version, .pageSize, .incomplete, .length, .malformed, .inUse, .left, .system, .interrupted: false
        }
    }
}

/// The version of Aerostat, as it appears on the control socket and in the images that it writes.
public enum AerostatVersion {
    /// The first number. It changes when something that worked no longer works.
    public static let major = 0
    /// The second number. It changes with new features.
    public static let minor = 3
    /// The third number. It changes with bug fixes.
    public static let micro = 0

    /// Name and version for people.
    public static var text: String { "aerostat \(major).\(minor).\(micro)" }
}

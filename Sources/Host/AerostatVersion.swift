/// Which Aerostat this is: what it says of itself on the control socket and in the images that it writes.
public enum AerostatVersion {
    /// The first number: it changes where something that worked does not work any more.
    public static let major = 0
    /// The second number: it changes with what is new.
    public static let minor = 2
    /// The third number: it changes with faults that were mended.
    public static let micro = 0

    /// Name and version for people.
    public static var text: String { "aerostat \(major).\(minor).\(micro)" }
}

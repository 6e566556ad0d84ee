/// Which Aerostat this is: what it says of itself on the control socket and in the images that it writes.
public enum AerostatVersion {
    public static let major = 0
    public static let minor = 2
    public static let micro = 0

    public static var text: String { "aerostat \(major).\(minor).\(micro)" }
}

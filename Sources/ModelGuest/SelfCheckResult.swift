/// What the guest's self-check found, as `aerostat check` shows it.
public struct SelfCheckResult: Hashable, Sendable, Codable {
    /// Pages whose content was compared.
    public var pagesChecked = 0
    public var pagesWrong = 0
    public var firstWrongPage: WrongPage?
    /// Pages in use, the guest's own tables included.
    public var pagesUsed = 0
    public var pagesFree = 0
    /// The part of `pagesFree` in blocks of the order that is hinted, held blocks included.
    public var pagesFreeTopOrder = 0
    /// The part of `pagesFree` that the balloon driver holds.
    public var pagesHeld = 0
    /// In the balloon: neither used nor free, and not looked at.
    public var pagesBallooned = 0
    public var invariants = Invariants.ok

    /// Whether nothing wrong was found.
    public var isClean: Bool { pagesWrong == 0 && invariants == .ok }

    /// A page whose content differs from its record.
    public struct WrongPage: Hashable, Sendable, Codable {
        /// Dense page index.
        public var page: Int
        /// The first 64-bit word that differs, in hexadecimal. For a page that came with an imported machine, the CRC-32C of the whole
        /// page.
        public var expected: String
        public var found: String
    }

    /// Whether the kernel's tables agree with each other: `"ok"`, or a list of contradictions.
    public enum Invariants: Hashable, Sendable, Codable {
        case ok
        case violated([String])

        /// How many contradictions are listed at most.
        public static let maximumListed = 16

        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let word = try? container.decode(String.self) {
                guard word == "ok" else {
                    throw DecodingError.dataCorruptedError(in: container, debugDescription: "invariants are \"ok\" or a list")
                }
                self = .ok
            } else {
                self = .violated(try container.decode([String].self))
            }
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .ok: try container.encode("ok")
            case .violated(let list): try container.encode(list)
            }
        }
    }

    enum CodingKeys: String, CodingKey {
        case pagesChecked = "pages-checked"
        case pagesWrong = "pages-wrong"
        case firstWrongPage = "first-wrong-page"
        case pagesUsed = "pages-used"
        case pagesFree = "pages-free"
        case pagesFreeTopOrder = "pages-free-top-order"
        case pagesHeld = "pages-held"
        case pagesBallooned = "pages-ballooned"
        case invariants
    }
}

public import AerostatBalloon
public import AerostatBalloonControl
import AerostatGuestMemory
public import AerostatMachineHost
public import AerostatMicroVM
public import AerostatMigration
public import AerostatModelGuest
public import AerostatQMP

extension ModelGuest: LocalGuest, BalloonHolder {
    public var balloonDevice: BalloonDevice? { balloon }

    public var powerButton: (any PowerButton)? { nil }

    public func checkItself() throws(GuestError) -> SelfCheck {
        let result = try check()
        return SelfCheck(
            pagesChecked: result.pagesChecked,
            pagesWrong: result.pagesWrong,
            firstWrong: result.firstWrongPage.map { .init(page: $0.page, expected: $0.expected, found: $0.found) },
            pagesUsed: result.pagesUsed,
            pagesFree: result.pagesFree,
            pagesFreeTopOrder: result.pagesFreeTopOrder,
            pagesHeld: result.pagesHeld,
            pagesBallooned: result.pagesBallooned,
            brokenInvariants: result.invariants.list
        )
    }
}

extension SelfCheck {
    /// The most contradictions that are listed.
    private static let maximumListed = 16

    fileprivate init(_ tiny: TinyGuest, _ faults: [String], _ record: TinyGuest.Record) {
        let freePages = tiny.freeBlocks * tiny.blockBytes / GuestPage.size
        self.init(
            pagesChecked: tiny.pages + tiny.reusedBlocks,
            pagesWrong: faults.count,
            firstWrong: nil,
            pagesUsed: tiny.pages,
            pagesFree: freePages,
            pagesFreeTopOrder: freePages,
            pagesHeld: record.holdsBlocks ? freePages : 0,
            brokenInvariants: Array(faults.prefix(Self.maximumListed))
        )
    }
}

extension SelfCheckResult.Invariants {
    /// The violated invariants, in words.
    fileprivate var list: [String] {
        switch self {
        case .ok: []
        case .violated(let list): list
        }
    }
}

extension MicroVM: LocalGuest, BalloonHolder, PowerButton {
    public var balloonDevice: BalloonDevice? { hinting as? BalloonDevice }

    public var powerButton: (any PowerButton)? { self }

    public func checkItself() throws(GuestError) -> SelfCheck {
        guard let tiny = TinyGuest(in: memory) else {
            throw GuestError(
                "a guest under KVM keeps no account of its memory that could be checked; 'migrate --verify' compares two memories"
            )
        }
        return try whileStanding { () throws(GuestError) in
            do throws(AccessError) {
                return SelfCheck(tiny, try tiny.faults(in: memory), try tiny.record(in: memory))
            } catch {
                throw GuestError("\(error)")
            }
        }
    }
}

extension GuestEnding {
    init(_ ending: MicroVM.Ending) {
        let kind: Kind =
            switch ending {
            case .powerOff: .powerOff
            case .reset: .reset
            case .crash: .crash
            }
        self.init(kind, "\(ending)")
    }
}

import AerostatControl
import AerostatGuestMemory
import AerostatMicroVM
import AerostatMigration
import AerostatModelGuest

/// A guest that this process runs, whatever it is made of.
protocol LocalGuest: Guest {
    var isRunning: Bool { get }

    /// Has the guest look over its own memory.
    /// - Throws: why it cannot.
    func checkItself() throws(GuestError) -> SelfCheck

    /// What a person may press; `nil` where the guest has no such button.
    var powerButton: (any PowerButton)? { get }

    /// Has it do something else than it did, between the arrival of its memory and that of its device state.
    func override(workload: Workload) throws(GuestError)

    /// Ends its threads. It cannot be resumed afterwards; its memory stays.
    func shutdown()
}

/// Asks a guest to power off; what it does about that is its own affair.
protocol PowerButton {
    func pressPowerButton()
}

extension ModelGuest: LocalGuest {
    var powerButton: (any PowerButton)? { nil }

    func checkItself() throws(GuestError) -> SelfCheck {
        let result = try check()
        return SelfCheck(
            pagesChecked: result.pagesChecked,
            pagesWrong: result.pagesWrong,
            firstWrong: result.firstWrongPage.map { .init(page: $0.page, expected: $0.expected, found: $0.found) },
            pagesUsed: result.pagesUsed,
            pagesFree: result.pagesFree,
            pagesFreeTopOrder: result.pagesFreeTopOrder,
            pagesHeld: result.pagesHeld,
            brokenInvariants: result.invariants.list
        )
    }
}

extension SelfCheck {
    /// More than this is not listed.
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
    /// What is violated, in words.
    fileprivate var list: [String] {
        switch self {
        case .ok: []
        case .violated(let list): list
        }
    }
}

extension MicroVM: LocalGuest, PowerButton {
    var powerButton: (any PowerButton)? { self }

    func override(workload: Workload) throws(GuestError) {
        throw GuestError("what a guest under KVM does is its own affair: --workload is for model guests")
    }

    func checkItself() throws(GuestError) -> SelfCheck {
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

#if BrokenEngines
    import Synchronization

    /// A rule that is broken on purpose, to prove that the tests of the rules can fail (RULES.md).
    ///
    /// None of this is compiled unless the package is built with the trait `BrokenEngines`. `tools/simulate --broken` and
    /// `tools/stress-broken` do that, in a directory of their own. At most one rule is broken at a time.
    package enum BrokenEngine: String, CaseIterable, Sendable {
        /// The tracker is armed again after the first id was published, so what was written in between is forgotten.
        case armsAfterAsking
        /// What the guest reports before the tracker is armed removes pages from the first round.
        case believesSurvey
        /// A hint also removes its pages from the tracker's log.
        case hintClearsLog
        /// The harvest is made while hints still count.
        case harvestsBeforeStop
        /// The id is checked when a hint arrives, but its pages are cleared later.
        case appliesHintLate
        /// Chains that the driver queued before it read the id count, if the chain's start has the right id. Linux's driver sends that
        /// start for an older chain too.
        case countsOlderChains
        /// A start counts whatever its id is. Chains older than the command count too.
        case takesStaleID
        /// Blocks count as soon as a command is open, before the guest has begun to answer it. Chains older than the command count too.
        case takesBlocksBeforeStart
        /// All commands have the same id. Chains older than the command count too.
        case reusesID
        /// Pages that were sent are removed from the log afterwards, although they were read before.
        case clearsAfterReading
        /// The harvest reads the whole log first and re-arms it afterwards.
        case rearmsLater
        /// The device's writes to the used ring are not marked.
        case forgetsDeviceWrite
        /// A device that is unparked does not check what arrived while it was parked.
        case forgetsRescan
        /// Pages are read from where they lay when the link was set up.
        case fixedBuffer
        /// A frame may overtake another one that contains the same page.
        case twoChannels
        /// Pages that are only partly covered count as hinted.
        case roundsOutward
        /// A block continues past the end of its region, into the next region's pages.
        case ignoresRegionEnds
        /// The destination keeps its data of a page that became free.
        case keepsFreePages
        /// A free page stays free although it was written.
        case forgetsFreePagesWrites
        /// The last harvest, with the guest paused, is not sent.
        case losesLastRound
        /// Pages that the sender had taken when a timeout ended the round are not given back.
        case forgetsInterruptedBatch
        /// If the link breaks after commit, the source runs the guest.
        case resumesAtBothEnds
        /// The destination runs the guest when it is ready, without waiting for commit.
        case runsBeforeCommit
        /// Checksums of frames are not checked.
        case skipsChecksum
        /// Sequence numbers of frames are not checked.
        case skipsSequence
        /// A jump of the ring's index, which means a broken driver, is accepted.
        case followsIndexJump
        /// A migration that is abandoned does not tell the guest that it is done.
        case forgetsDone
        /// The hint state that travels is stop, not done.
        case travelsStopped
        /// The ledger is not told about discarded memory.
        case discardUnheard
        /// The ledger forgets what is pending only after the content has changed, so a harvest may come in between.
        case forgetsAfterDiscard
        /// Pages that were given back are read like others, and are so allocated again.
        case readsDiscarded
        /// What the guest writes to a page that it had given back is not sent: the engine believes the page to be gone.
        case deflateNotDirty
        /// Pages that do not exist, as those in the balloon, are read and sent like others.
        case sendsBallooned
        /// The balloon gives the driver's buffer back first, and the pages in it to the host later.
        case acknowledgesBeforeDiscard
        /// A report of free pages is carried out when its buffer has been given back, and the pages may be in use again.
        case reportsLate
        /// The statistics buffer that the device holds is not there where the guest arrives.
        case forgetsStatisticsElement
        /// Free pages are taken to contain nothing, whatever the guest was promised.
        case ignoresPoison
        /// A huge page is given back as a whole when a part of it is in the balloon.
        case discardsPartialHugePage

        private static let active = Atomic<Int>(-1)

        package static func activate(_ engine: BrokenEngine) {
            active.store(allCases.firstIndex(of: engine)!, ordering: .sequentiallyConsistent)
        }

        /// Two checks each keep out a stale hint if the other one is broken (unless the driver is Linux's): the ids, and the rejection of
        /// chains that are older than the command. So an engine that breaks the ids must break both.
        package static var isCountingOlderChains: Bool {
            [.countsOlderChains, .takesStaleID, .takesBlocksBeforeStart, .reusesID].contains(where: isActive)
        }

        /// Keeps all rules again.
        package static func deactivate() { active.store(-1, ordering: .sequentiallyConsistent) }

        package static func isActive(_ engine: BrokenEngine) -> Bool {
            let index = active.load(ordering: .relaxed)
            return index >= 0 && allCases[index] == engine
        }

        /// The rule of RULES.md that the engine breaks.
        package var rule: String {
            switch self {
            case .armsAfterAsking, .believesSurvey, .hintClearsLog: "1 arm before asking"
            case .harvestsBeforeStop, .appliesHintLate: "2 stop before sync"
            case .countsOlderChains, .takesStaleID, .takesBlocksBeforeStart, .reusesID: "3 the id decides"
            case .clearsAfterReading, .forgetsInterruptedBatch, .losesLastRound, .rearmsLater: "4 clear, then read"
            case .forgetsRescan: "parked devices lose nothing (device contract)"
            case .forgetsDeviceWrite: "5 every writer is tracked"
            case .fixedBuffer: "6 no fixed buffers (simulator's wire)"
            case .twoChannels: "7 order per page (simulator's wire)"
            case .roundsOutward, .ignoresRegionEnds: "8 whole pages inside RAM"
            case .keepsFreePages, .forgetsFreePagesWrites: "9 free, never stale data"
            case .resumesAtBothEnds, .runsBeforeCommit: "10 one owner"
            case .skipsChecksum, .skipsSequence, .followsIndexJump: "11 hostile peer and guest"
            case .forgetsDone, .travelsStopped: "12 done always comes"
            case .discardUnheard, .forgetsAfterDiscard, .readsDiscarded, .deflateNotDirty, .sendsBallooned: "13 discard is heard"
            case .ignoresPoison: "9 free, never stale data"
            case .discardsPartialHugePage: "8 whole pages inside RAM"
            case .acknowledgesBeforeDiscard, .reportsLate: "14 acknowledge after"
            case .forgetsStatisticsElement: "parked devices lose nothing (device contract)"
            }
        }

        /// Why the simulator cannot see it; `nil` where it must.
        package var simulatorBlindness: String? {
            switch self {
            case .discardsPartialHugePage: "its memory has no huge pages; BrokenBalloonTests sees it"
            default: nil
            }
        }

        /// How well `aerostat stress`, which plays with real processes, sees it, where minutes are not enough; and why.
        package enum StressSight {
            case never(String)
            case rarely(String)
        }

        package var stressSight: StressSight? {
            switch self {
            case .fixedBuffer:
                .never(
                    "the simulator's wire is broken here: the product registers no buffers over guest RAM, and no guest's RAM is "
                        + "discarded at "
                        + "its source, so there is no stale page to send"
                )
            case .countsOlderChains:
                .never(
                    "unlike Linux's, the model guest's driver does not write the next id before the device has read the last one; so all "
                        + "older chains come before the command's start, and no engine counts them"
                )
            case .discardUnheard, .forgetsAfterDiscard, .readsDiscarded, .deflateNotDirty, .sendsBallooned:
                .never("no guest's RAM is given back at its source yet: that comes with the balloon's other queues")
            case .acknowledgesBeforeDiscard, .reportsLate, .forgetsStatisticsElement, .ignoresPoison, .discardsPartialHugePage:
                .never("the balloon's own tests see it; the model guest's driver does not use the balloon's other queues yet")
            case .twoChannels: .never("the simulator's wire is broken here: the product has one channel for a migration")
            case .hintClearsLog:
                .rarely(
                    "only under the software tracker: a page must be in use again before the device receives its hint, and must not be "
                        + "written again until the migration ends"
                )
            case .harvestsBeforeStop:
                .rarely(
                    "a hint for a block that is in use again must arrive between harvest and stop (a fraction of a millisecond), and the "
                        + "block must not be written again until the migration ends"
                )
            case .forgetsDeviceWrite:
                .rarely(
                    "only under the software tracker; and the used index shares its page with the available ring, which the driver writes "
                        + "as soon as it has seen the used entry"
                )
            case .appliesHintLate:
                .rarely(
                    "a hint for a block that is in use again before the harvest must arrive after the last batch of a round, and the "
                        + "block must not be written again until the migration ends"
                )
            case .skipsChecksum:
                .rarely(
                    "a flipped bit must make another valid descriptor, and change pages that nobody writes or verifies until the "
                        + "migration ends"
                )
            default: nil
            }
        }
    }
#endif

#if BrokenEngines
    import Synchronization

    /// A rule that is broken on purpose, so that the tests of the rules can be seen to fail (RULES.md).
    ///
    /// None of this is compiled unless the package is built with the trait `BrokenEngines`, which `tools/simulate --broken` and
    /// `tools/stress-broken` do in a directory of its own. At most one rule is broken at a time.
    package enum BrokenEngine: String, CaseIterable, Sendable {
        /// The tracker is armed once more after the first id was published: what was written in between is forgotten.
        case armsAfterAsking
        /// What the guest reports before the tracker is armed takes its pages out of the first round.
        case believesSurvey
        /// A hint also takes its pages out of the tracker's log.
        case hintClearsLog
        /// The harvest is made while hints still count.
        case harvestsBeforeStop
        /// The id is checked when a hint comes, and its pages are cleared later.
        case appliesHintLate
        /// What the driver queued before it read the id counts, as long as its start says the right one: Linux's says it for an older one
        /// too.
        case countsOlderChains
        /// A start counts whatever id it carries; and what is older than the command counts.
        case takesStaleID
        /// Blocks count as soon as a command is open, before the guest has begun to answer it; and what is older than the command counts.
        case takesBlocksBeforeStart
        /// All commands have the same id; and what is older than the command counts.
        case reusesID
        /// What was sent is taken out of the log: it was read before.
        case clearsAfterReading
        /// The harvest reads the whole log first and re-arms it afterwards.
        case rearmsLater
        /// The device's writes to the used ring are not marked.
        case forgetsDeviceWrite
        /// A device that is let go does not look at what came while it was parked.
        case forgetsRescan
        /// Pages are read from where they lay when the link was set up.
        case fixedBuffer
        /// A frame may overtake another one that has the same page.
        case twoChannels
        /// Pages that are covered in part count as hinted.
        case roundsOutward
        /// A block goes on behind the end of its region, into the next one's pages.
        case ignoresRegionEnds
        /// The destination keeps what it has of a page that became free.
        case keepsFreePages
        /// A free page that was written stays free.
        case forgetsFreePagesWrites
        /// The last harvest, with the guest paused, is not sent.
        case losesLastRound
        /// What a timeout took from the sender's hands is not given back.
        case forgetsInterruptedBatch
        /// After a link that broke behind commit the source runs the guest.
        case resumesAtBothEnds
        /// The destination runs the guest when it is ready, without waiting for commit.
        case runsBeforeCommit
        /// Checksums of frames are not looked at.
        case skipsChecksum
        /// The numbers of frames are not looked at.
        case skipsSequence
        /// A used-ring index jump, which means a broken driver, is followed.
        case followsIndexJump
        /// A migration that is given up does not say done to the guest.
        case forgetsDone
        /// The hint state that travels is stop, not done.
        case travelsStopped
        /// The ledger does not hear of memory that is given back.
        case discardUnheard
        /// The ledger forgets what is pending after the content has changed, where a harvest may have come in between.
        case forgetsAfterDiscard
        /// Pages that were given back are read like others, and so provided again.
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

        /// Ids, and what is older than the command, each keep a stale hint out where the other is broken, unless the driver is Linux's.
        /// So who breaks the ids breaks both.
        package static var isCountingOlderChains: Bool {
            [.countsOlderChains, .takesStaleID, .takesBlocksBeforeStart, .reusesID].contains(where: isActive)
        }

        /// Keeps all rules again.
        package static func deactivate() { active.store(-1, ordering: .sequentiallyConsistent) }

        package static func isActive(_ engine: BrokenEngine) -> Bool {
            let index = active.load(ordering: .relaxed)
            return index >= 0 && allCases[index] == engine
        }

        /// The rule of RULES.md, and who breaks it.
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
                    "the model guest's driver does not write the next id before the device has read the last one, as Linux's does; so what "
                        + "is older than the command stands before its start, and counts for no engine"
                )
            case .discardUnheard, .forgetsAfterDiscard, .readsDiscarded, .deflateNotDirty, .sendsBallooned:
                .never("no guest's RAM is given back at its source yet: that comes with the balloon's other queues")
            case .acknowledgesBeforeDiscard, .reportsLate, .forgetsStatisticsElement, .ignoresPoison, .discardsPartialHugePage:
                .never("the balloon's own tests see it; the model guest's driver does not use the balloon's other queues yet")
            case .twoChannels: .never("the simulator's wire is broken here: the product has one channel for a migration")
            case .hintClearsLog:
                .rarely(
                    "under the software tracker alone, a page must be used again before the device hears that it is free, and not be "
                        + "written once more until the migration ends"
                )
            case .harvestsBeforeStop:
                .rarely(
                    "a hint must fall between harvest and stop, a fraction of a millisecond, for a block that is in use again, and not be "
                        + "written once more until the migration ends"
                )
            case .forgetsDeviceWrite:
                .rarely(
                    "under the software tracker alone; and the used index shares its page with the available ring, where the driver writes "
                        + "as soon as it has seen what came back"
                )
            case .appliesHintLate:
                .rarely(
                    "a hint must come behind the last batch of a round, for a block that is in use again before the harvest, and not be "
                        + "written once more until the migration ends"
                )
            case .skipsChecksum:
                .rarely(
                    "a flipped bit must make another valid descriptor, for pages whose content it changes, that nobody writes or verifies "
                        + "until the migration ends"
                )
            default: nil
            }
        }
    }
#endif

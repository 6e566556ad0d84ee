/// What happened in a scenario, besides going well: that the seeds reach all of it is a test of the scenarios.
package enum SimulationEvent: String, CaseIterable, Sendable {
    // How migrations end.
    case completed, cancelled, failed, outcomeUnknown, arrivedPaused, arrivedButSourceDoesNotKnow, committedButDead, notAMigration
    case timeoutPaused, verified, backAgain
    // What became of hints.
    case surveyed, guestCleared, sampled, hintTaken, hintSpared, hintInvalid, hintDropped, freePageWritten, freePageTold, staleBlockAtDevice
    // Who met whom.
    case engineWaitsForHint, harvestMeetsWrite, pageReadInPieces, roundsWithHints
    // What the guest did.
    case heldBlockReused, heldBlockReusedUnread, deviceReset, ringBroken, guestPausedByPerson, hostTookPage, absentPage
    case gaveBack, gaveBackAfterSent, gaveBackUnsent, gaveBackAtStart, wroteWhileGivenBack, usedAgain
    // What went over the balloon's other queues.
    case inflated, deflated, deflatedLater, reported, usedWhileReported, statisticsAsked, balloonMoved
    // What became of the link.
    case linkCutInFrame, linkCutBetweenFrames, linkStalled, frameRefused
}

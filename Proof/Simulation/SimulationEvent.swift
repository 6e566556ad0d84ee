/// Events that a scenario may reach. A test checks that the seeds together reach all of them.
package enum SimulationEvent: String, CaseIterable, Sendable {
    // How migrations end.
    case completed, cancelled, failed, outcomeUnknown, arrivedPaused, arrivedButSourceDoesNotKnow, committedButDead, notAMigration
    case timeoutPaused, verified, backAgain
    // What happened to hints.
    case surveyed, guestCleared, sampled, hintTaken, hintSpared, hintInvalid, hintDropped, freePageWritten, freePageTold, staleBlockAtDevice
    // Which actors interleaved.
    case engineWaitsForHint, harvestMeetsWrite, pageReadInPieces, roundsWithHints
    // What the guest did.
    case heldBlockReused, heldBlockReusedUnread, deviceReset, ringBroken, guestPausedByPerson, hostTookPage, absentPage
    case gaveBack, gaveBackAfterSent, gaveBackUnsent, gaveBackAtStart, wroteWhileGivenBack, usedAgain
    // What happened on the balloon's other queues.
    case inflated, deflated, deflatedLater, reported, usedWhileReported, statisticsAsked, balloonMoved
    // What happened to the link.
    case linkCutInFrame, linkCutBetweenFrames, linkStalled, frameRefused
}

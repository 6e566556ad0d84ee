public import AerostatGuestMemory
import AerostatHost
import AerostatMigration
public import AerostatMigrationIO
import AerostatQMP
import Logging
import Synchronization

// Incoming migrations.
extension MachineHost {
    /// Receives one guest on the calling thread, and starts it.
    /// - Parameters:
    ///   - shape: the memory layout that the guest must have; `nil` accepts any.
    ///   - shells: makes the guest's empty machine.
    ///   - paused: keeps the guest paused, even if it ran at the source.
    public func receive(_ listener: borrowing IncomingListener, shape: RegionTable?, shells: any GuestShells, paused: Bool) {
        let outcome: DestinationMigration.Outcome?
        do throws(SocketError) {
            outcome = try listener.receive(
                shape: shape,
                doorbell: incomingDoorbell,
                logger: logger,
                startsGuest: !paused,
                arrived: { [self] runs, since in note(.arrived(runs: runs, since: since)) }
            ) { [self] (regions, requirements) throws(GuestError) in
                let shell = try shells.shell(for: requirements)
                let memory: GuestRAM
                do throws(SystemError) { memory = try GuestRAM(regions) } catch { throw GuestError("\(error)") }
                let guest = try shell.make(in: memory)
                state.withLock { state in
                    take(guest, &state)
                    note(.shellMade, &state)
                }
                return guest
            }
        } catch {
            logger.error("no migration can be received: \(error)")
            return end(.failed)
        }
        switch outcome {
        case nil: return
        case .running(let runs):
            // The source has already been told, so clients and logs add nothing to the downtime.
            note(.arrivalSettled)
            logger.info(runs ? "the guest has arrived and runs" : "the guest has arrived; it is paused")
        case .failed(let reason), .notAMigration(let reason):
            logger.error("the incoming migration failed: \(reason); the guest is not here")
            end(.failed)
        case .committedButDead(let reason):
            logger.critical("the guest arrived and could not be started: \(reason); it runs nowhere, its source still holds its memory")
            end(.failed)
        }
    }
}

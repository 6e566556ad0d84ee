#if BrokenEngines
    package import AerostatGuestMemory
    package import AerostatMigration
    import Synchronization

    /// Where a build with broken engines puts decorators around the engine's parts; see `Proof/Sabotage`.
    package protocol EngineDecorators: Sendable {
        /// Around what a source's driver uses.
        func source(_ parts: SourceParts, _ ledger: PageLedger) -> SourceParts
        /// Around what a destination uses.
        func destination(
            _ link: any Transport,
            _ makeGuest: @escaping DestinationMigration.GuestFactory
        ) -> (any Transport, DestinationMigration.GuestFactory)
    }

    package struct SourceParts {
        package var guest: any Guest
        package var link: any Transport
        /// Hears of memory that is given back.
        package var discards: any DiscardSubscriber
    }

    package enum EngineHooks {
        private static let installed = Mutex<(any EngineDecorators)?>(nil)

        package static func install(_ decorators: any EngineDecorators) { installed.withLock { $0 = decorators } }
        static var decorators: (any EngineDecorators)? { installed.withLock { $0 } }
    }
#endif

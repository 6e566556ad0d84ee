#if BrokenEngines
    package import AerostatHost
    import AerostatMigration
    import AerostatMigrationIO

    /// Breaks one rule in this process: by decorators around the engine's parts if that is possible, otherwise by a hook inside the part
    /// (`BrokenEngine`).
    package enum Sabotage {
        package static func install(_ engine: BrokenEngine) {
            BrokenEngine.activate(engine)
            EngineHooks.install(Decorators(engine: engine))
        }
    }

    private struct Decorators: EngineDecorators {
        let engine: BrokenEngine

        func source(_ parts: SourceParts, _ ledger: PageLedger) -> SourceParts {
            let source = BrokenSource(engine, parts, ledger)
            var parts = parts
            parts.guest = BrokenGuest(source)
            parts.link = BrokenLink(source)
            parts.discards = BrokenEars(source)
            return parts
        }

        func destination(
            _ link: any Transport,
            _ makeGuest: @escaping DestinationMigration.GuestFactory
        ) -> (any Transport, DestinationMigration.GuestFactory) {
            let destination = BrokenDestinationLink(engine, link)
            return (
                destination,
                { (regions, requirements) throws(GuestError) in
                    let guest = try makeGuest(regions, requirements)
                    destination.guest = guest
                    return guest
                }
            )
        }
    }
#endif

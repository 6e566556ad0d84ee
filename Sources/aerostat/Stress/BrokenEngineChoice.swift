#if BrokenEngines
    import Foundation
    import Host

    /// Which rule is broken, by the environment, which the processes of a hunt inherit: `tools/stress-broken`.
    enum BrokenEngineChoice {
        private static let variable = "AEROSTAT_BROKEN"

        static func obey() {
            guard let name = ProcessInfo.processInfo.environment[variable] else { return }
            if name == "list" {
                for engine in BrokenEngine.allCases { print("\(engine)|\(engine.rule)|\(sight(of: engine))") }
                exit(0)
            }
            guard let engine = BrokenEngine(rawValue: name) else { fatalError("there is no broken engine \(name)") }
            BrokenEngine.activate(engine)
        }

        private static func sight(of engine: BrokenEngine) -> String {
            switch engine.stressSight {
            case nil: "well|"
            case .rarely(let reason): "rarely|\(reason)"
            case .never(let reason): "never|\(reason)"
            }
        }
    }
#endif

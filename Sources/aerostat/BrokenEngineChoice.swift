#if BrokenEngines
    import ArgumentParser
    import CommandSupport
    import Foundation
    import AerostatHost
    import Sabotage

    /// Which rule is broken, by the environment, which the processes of a hunt inherit: `tools/stress-broken`.
    enum BrokenEngineChoice {
        private static let variable = "AEROSTAT_BROKEN"

        static func obey() {
            guard let name = ProcessInfo.processInfo.environment[variable] else { return }
            if name == "list" {
                let rows = BrokenEngine.allCases.map { "\($0)|\($0.rule)|\(sight(of: $0))" }
                exit(writeResult(rows.joined(separator: "\n")) ? 0 : ExitCode.unwritten.rawValue)
            }
            guard let engine = BrokenEngine(rawValue: name) else {
                writeToStandardError("Error: \(variable): there is no broken engine \(name)\n")
                exit(ExitCode.validationFailure.rawValue)
            }
            Sabotage.install(engine)
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

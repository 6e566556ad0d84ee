import AerostatHost
import Foundation
import Testing

extension EndToEnd {
    /// The scripts in tools/, as far as they can run here within moments.
    @Suite struct Tools {
        private static func bash(_ script: String, in folder: String) async throws -> Ended {
            let head = "set -euo pipefail\ncd '\(Aerostat.root.path)'\nwork='\(folder)'\n"
            // Foundation may start processes with blocked signals, which a shell cannot unblock.
            let (output, errors) = (folder + ".out", folder + ".err")
            let child = try ChildProcess("/bin/bash", ["-c", head + script], output: output, errors: errors)
            let code = try await aside { child.wait(until: MonotonicClock.now() + .seconds(60)) }
            child.signal(SIGKILL)
            func text(_ path: String) throws -> String { String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self) }
            return Ended(code: code ?? -SIGKILL, output: try text(output), errors: try text(errors))
        }

        /// What tools/kvm-lab does around the outer machine. `MACHINE` stands for that machine here.
        private static let lab = """
            say() { echo "kvm-lab: $*" >&2; }
            . tools/lab/silence.sh
            : >"$work/results"; : >"$work/outer"; : >"$work/inner"
            machine &
            running=$!
            end_when_silent "$running" 2 "$work/silent" "$work/results" "$work/outer" "$work/inner" &
            code=0
            wait "$running" || code=$?
            if [[ -e $work/silent ]]; then
                say_where_it_stood "$(<"$work/silent")" "$work/results" "$work/outer" "$work/inner"
                exit 1
            fi
            exit "$code"

            """

        @Test func `A lab whose outer machine falls silent is ended, and says how far it was`() async throws {
            try await withGuests { guests in
                let folder = guests.path("lab")
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                let machine = """
                    machine() {
                        trap 'exit 143' TERM
                        echo 'moved 1' >>"$work/results"
                        for second in 1 2 3; do
                            echo "alive $second" >>"$work/results"
                            sleep 1
                        done
                        printf 'rcu: INFO: rcu_preempt self-detected stall on CPU\\r\\n\\r\\n' >>"$work/outer"
                        echo 'a| loading' >>"$work/inner"
                        while :; do sleep 1; done
                    }

                    """
                let start = MonotonicClock.now()
                let ended = try await Self.bash(machine + Self.lab, in: folder)
                #expect(ended.code == 1)
                #expect(start.duration(to: MonotonicClock.now()) < .seconds(30))
                let words = [
                    "nothing was heard of the outer machine for 2 s", "last heard 3 s after its start", "self-detected stall on CPU",
                    "a| loading", "last result: moved 1",
                ]
                for text in words { #expect(ended.errors.contains(text), "\(text): \(ended)") }
            }
        }

        @Test func `A lab whose outer machine works silently for long, and shows signs of life, is not ended`() async throws {
            try await withGuests { guests in
                let folder = guests.path("lab")
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                let machine =
                    "machine() { for second in 1 2 3 4 5; do echo \"alive $second\" >>\"$work/results\"; sleep 1; done; return 7; }\n"
                let ended = try await Self.bash(machine + Self.lab, in: folder)
                #expect(ended.code == 7, "\(ended)")
            }
        }

        @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGKILL])
        func `The programs of a script end with it, even when the script is killed`(_ number: Int32) async throws {
            try await withGuests { guests in
                let folder = guests.path("script")
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                let script = """
                    set -euo pipefail
                    cd '\(Aerostat.root.path)'
                    . tools/children.sh
                    cleanup() { touch '\(folder)/cleaned'; }
                    attended bash -c 'echo $$ >"$0/pid.new"; mv "$0/pid.new" "$0/pid"; sleep 60 & wait' '\(folder)'
                    """
                let child = try ChildProcess("/bin/bash", ["-c", script], output: folder + "/out", errors: folder + "/err")
                var program: Int32 = 0
                try await eventually("the script's program runs") {
                    let text = try? String(contentsOfFile: folder + "/pid", encoding: .utf8)
                    program = text.flatMap { Int32($0.trimmingCharacters(in: .whitespacesAndNewlines)) } ?? 0
                    return program > 0
                }
                child.signal(number)
                try await eventually("the script ends", within: .seconds(20)) { child.exitCode != nil }
                #expect(child.exitCode == (number == SIGKILL ? -SIGKILL : 128 + number))
                try await eventually("its program ends", within: .seconds(5)) { kill(program, 0) != 0 }
                #expect(FileManager.default.fileExists(atPath: folder + "/cleaned") == (number != SIGKILL))
            }
        }
    }
}

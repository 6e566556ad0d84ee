"""Plants one violation of each kind in a small repository, and checks that tools/tidy finds it at its place, and nothing else."""

import os
import sys
import tempfile

CLEAN = {
    ".swift-format": '{"lineLength": 140}\n',
    "README.md": "# Small\n\n[Where to read on](docs/README.md), [the rules](RULES.md#the-rules), [elsewhere](https://swift.org).\n",
    "RULES.md": "# The rules\n\n1. **Arm before asking.** Always.\n2. **Clear, then read.** Always.\n",
    "docs/README.md": "# Index\n\n[The manual](manual.md)\n",
    "docs/manual.md": "# Manual\n\n"
    "`tools/demo` shows it. `Engine.swift` is short. No link: `[a](b)`.\n\n"
    "| a wide table |" + "-" * 150 + "|\n",
    "tools/demo": "#!/bin/sh\n# Runs what is in Sources/Engine (rule \"clear, then read\").\n",
    "Sources/Engine/Engine.swift": """\
import Foundation
import Logging

/// Keeps pages (rule "arm before asking").
public struct Engine: Mover {
    public let pages: Int
    public init(pages: Int) { self.pages = pages }
    public func move() {}
    public var description: String { "engine" }
}

/// What moves (rules "arm before asking" and "clear,
/// then read").
public protocol Mover {
    /// Moves.
    func move()
}
""",
    "Sources/Engine/Engine.docc/Engine.md": "# ``Engine``\n\n``Mover/move()``, <doc:Engine>\n\n- Tests: \"It\nmoves\"\n",
    "Tests/EngineTests/EngineTests.swift": "import Engine\nimport Testing\n\n@Test(\"It moves\") func moves() {}\n",
}
MANIFEST = {
    "products": [{"name": "Engine", "targets": ["Engine"], "type": {"library": ["automatic"]}}],
    "targets": [
        {"name": "Engine", "type": "regular", "dependencies": [{"product": ["Logging", "swift-log", None, None]}]},
        {"name": "EngineTests", "type": "test", "dependencies": [{"byName": ["Engine", None]}]},
    ],
}


def violations(lines, readme_lines, forbidden):
    """Kind, file, the text that is appended to it (or inserted before the given line), and the line of the finding."""
    engine = "Sources/Engine/Engine.swift"
    last = CLEAN[engine].count("\n") + 1
    return [
        ("a dangling link", "README.md", "[gone](docs/gone.md)\n", 4),
        ("a link that leaves the repository", "docs/manual.md", "[out](../../out.md)\n", 6),
        ("a dangling anchor", "README.md", "[gone](RULES.md#gone)\n", 4),
        ("a document without a link", "docs/orphan.md", "# Orphan\n", None),
        ("a path in a document", "docs/manual.md", "Sources/Engine/Gone.swift\n", 6),
        ("a path in a comment", engine, "// See Tests/Gone/Gone.swift.\n", last),
        ("a file in backticks", engine, "// See `Gone.swift`.\n", last),
        ("a tool in a message", engine, 'let hint = "run tools/gone"\n', last),
        ("the design notes", engine, f"// ({forbidden}, section 1)\n", last),
        ("a symbol in an article", "Sources/Engine/Engine.docc/Engine.md", "``Gone``\n", 7),
        ("an article", "Sources/Engine/Engine.docc/Engine.md", "<doc:Gone>\n", 7),
        ("a test in an article", "Sources/Engine/Engine.docc/Engine.md", '\n- Tests: "It flies"\n', 8),
        ("a rule by a wrong name", engine, '// (rule "ask before\n// arming")\n', last),
        ("a rule by its number", engine, "// (rule 1)\n", last),
        ("a wide line", engine, "// " + "x" * 138 + "\n", last),
        ("a long file", engine, "//\n" * lines, lines + 1),
        ("a long README", "README.md", "\n" * readme_lines, readme_lines + 1),
        ("an import", engine, "import NIOCore\n", last),
        ("an import of a test", "Tests/EngineTests/EngineTests.swift", "@testable import Logging\n", 5),
        ("a public function without a comment", engine, "public func go() {}\n", last),
        ("a public type without a comment", engine, "public enum Gone { case gone }\n", last),
        ("a public constant without a comment", engine, "extension Engine {\n    public static let most = 1\n}\n", last + 1),
    ]


def write(root, path, text):
    place = os.path.join(root, path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "w", encoding="utf-8") as file:
        file.write(text)


def run(check, lines, readme_lines, forbidden):
    status = 0
    with tempfile.TemporaryDirectory() as root:
        for path, text in CLEAN.items():
            write(root, path, text)
        found = check(root, [MANIFEST])
        if found:
            print("tidy: the self-test's repository is clean, and this was found in it:", *found, sep="\n", file=sys.stderr)
            return 1
        planted = violations(lines, readme_lines, forbidden)
        for kind, path, text, line in planted:
            write(root, path, CLEAN.get(path, "") + text)
            found = check(root, [MANIFEST])
            # For a document without a link, the index is at fault.
            place = f"{path}:{line}: " if line else "docs/README.md:1: "
            if len(found) != 1 or not found[0].startswith(place):
                print(f"tidy: {kind} in {path} is not found as it should be: {found}", file=sys.stderr)
                status = 1
            if path in CLEAN:
                write(root, path, CLEAN[path])
            else:
                os.remove(os.path.join(root, path))
    if status == 0:
        print(f"tidy: all {len(planted)} kinds of violations are found", file=sys.stderr)
    return status

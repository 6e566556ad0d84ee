#!/usr/bin/env python3
"""Asks QEMU and aerostat the same in QMP, and compares the shapes of all answers and events.

usage: qmp_shapes.py AEROSTAT [QEMU]     (QEMU: qemu-system-x86_64)

Each side has a guest with 128 MiB, which was never started, so no balloon driver answers. An answer of aerostat must have every member that
QEMU's has, with a value of the same JSON type; it may have more. A refusal must have the same class and the same words. Prints one line
for each difference, and exits with 1 if there is one.
"""

import json
import os
import subprocess
import sys
import tempfile

MEBIBYTE = 1 << 20
BALLOON = "/machine/peripheral/balloon0"


def qom(command, property, **more):
    return command, {"path": BALLOON, "property": property, **more}


# What is asked, in order. 'words' is False where QEMU's words name its own types.
SCRIPT = [
    ("query-status", {}),
    ("query-balloon", {}),
    ("balloon", {"value": 64 * MEBIBYTE}),
    ("query-balloon", {}),
    ("balloon", {"value": 0}),
    ("balloon", {"value": -1}),
    ("balloon", {"value": 1}),
    ("balloon", {"value": 1 << 50}),
    ("balloon", {"value": "2G"}),
    ("balloon", {"value": 1.5}),
    ("balloon", {}),
    ("balloon", {"value": 1, "more": 2}),
    qom("qom-get", "guest-stats"),
    qom("qom-get", "guest-stats-polling-interval"),
    qom("qom-set", "guest-stats-polling-interval", value=2),
    qom("qom-get", "guest-stats-polling-interval"),
    qom("qom-set", "guest-stats-polling-interval", value=-2),
    qom("qom-set", "guest-stats-polling-interval", value="often"),
    qom("qom-set", "guest-stats-polling-interval", value=1 << 40),
    qom("qom-set", "guest-stats-polling-interval", value=0),
    qom("qom-get", "guest-stats-polling-interval"),
    qom("qom-get", "nonsense"),
    qom("qom-set", "guest-stats", value=3),
    ("qom-get", {"path": "/machine/peripheral/nothing", "property": "guest-stats"}),
    ("qom-get", {"path": BALLOON}),
    ("qom-list", {"path": "/machine/peripheral"}),
    ("qom-list", {"path": "/machine/nothing"}),
    ("query-migrate", {}),
    ("stop", {}),
    ("quit", {}),
]
# QEMU's words for these name its own types: only the class is compared.
OWN_WORDS = {("qom-get", "nonsense"), ("qom-set", "guest-stats")}


class Side:
    """A program that speaks QMP over its control socket or its standard streams."""

    def __init__(self, name, process, reader, writer):
        self.name, self.process, self.reader, self.writer = name, process, reader, writer
        self.events = []
        self.greeting = self.read()
        self.ask("qmp_capabilities", {})

    def read(self):
        line = self.reader.readline()
        if not line:
            sys.exit(f"{self.name} has closed its QMP connection")
        return json.loads(line)

    def ask(self, command, arguments):
        message = {"execute": command, "id": command}
        if arguments:
            message["arguments"] = arguments
        self.writer.write(json.dumps(message) + "\n")
        self.writer.flush()
        while True:
            answer = self.read()
            if "event" not in answer:
                return answer
            self.events.append(answer)


def qemu(program):
    process = subprocess.Popen(
        [program, "-machine", "pc", "-m", "128", "-display", "none", "-S", "-nodefaults", "-no-user-config",
         "-device", "virtio-balloon-pci,id=balloon0", "-qmp", "stdio"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return Side("QEMU", process, process.stdout, process.stdin)


def aerostat(program, folder):
    import socket
    import time

    path = os.path.join(folder, "control")
    process = subprocess.Popen(
        [program, "run", "--memory", "128MiB", "--paused", "--control", path],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            break
        except OSError:
            connection.close()
            if time.monotonic() > end or process.poll() is not None:
                sys.exit("aerostat has not opened its control socket")
            time.sleep(0.05)
    file = connection.makefile("rw")
    return Side("aerostat", process, file, file)


def kind(value):
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", list: "array", dict: "object", type(None): "null"}[type(value)]


def differences(theirs, ours, place):
    """What QEMU's value has that ours lacks."""
    if kind(theirs) != kind(ours):
        yield f"{place}: {kind(theirs)} there, {kind(ours)} here"
    elif isinstance(theirs, dict):
        for name, value in theirs.items():
            if name not in ours:
                yield f"{place}: no member '{name}' here"
            else:
                yield from differences(value, ours[name], f"{place}.{name}")
    elif isinstance(theirs, list) and theirs:
        if not ours:
            yield f"{place}: empty here"
        for element in ours:
            yield from differences(theirs[0], element, f"{place}[]")


def compare(command, arguments, theirs, ours):
    place = command + (f" {json.dumps(arguments)}" if arguments else "")
    if ("error" in theirs) != ("error" in ours):
        yield f"{place}: {json.dumps(theirs)} there, {json.dumps(ours)} here"
    elif "error" in theirs:
        exact = (command, arguments.get("property")) not in OWN_WORDS
        if theirs["error"]["class"] != ours["error"]["class"] or (exact and theirs["error"] != ours["error"]):
            yield f"{place}: refused with {json.dumps(theirs['error'])} there, {json.dumps(ours['error'])} here"
    else:
        yield from differences(theirs["return"], ours["return"], place)


def main():
    found = []
    with tempfile.TemporaryDirectory() as folder:
        there = qemu(sys.argv[2] if len(sys.argv) > 2 else "qemu-system-x86_64")
        here = aerostat(sys.argv[1], folder)
        try:
            found += differences(there.greeting, here.greeting, "greeting")
            for command, arguments in SCRIPT:
                found += compare(command, arguments, there.ask(command, arguments), here.ask(command, arguments))
            shapes = [{event["event"]: event for event in side.events} for side in (there, here)]
            for name, event in shapes[0].items():
                found += differences(event, shapes[1].get(name, {}), f"event {name}")
        finally:
            for side in (there, here):
                side.process.kill()
                side.process.wait()
    for line in found:
        print(line)
    print(f"qmp_shapes: {len(SCRIPT)} commands, {len(found)} differences", file=sys.stderr)
    sys.exit(1 if found else 0)


main()

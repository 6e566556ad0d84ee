#!/usr/bin/env python3
"""Asks QEMU and aerostat the same in QMP, and compares the shapes of all answers and events.

usage: qmp_shapes.py AEROSTAT [QEMU]     (QEMU: qemu-system-x86_64)

Each side has a guest with 128 MiB. Aerostat has the model guest, whose driver inflates the balloon once the guest runs. QEMU's machine has
no processor that runs: the script writes the balloon's configuration space as a driver would, over QEMU's qtest socket.

An answer of aerostat must have every member that QEMU's has, with a value of the same JSON type; it may have more. A refusal must have the
same class and the same words. Each event of QEMU must come from aerostat too, in the same shape. Prints one line for each difference, and
exits with 1 if there is one.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time

MEBIBYTE = 1 << 20
BALLOON = "/machine/peripheral/balloon0"
SECONDS = 60  # for all that one side has to do


def qom(command, property, **more):
    return command, {"path": BALLOON, "property": property, **more}


# What is asked, in order. A name alone is an event that is waited for.
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
    ("qom-list", {"path": "/machine"}),
    ("qom-list", {}),
    qom("qom-set", "guest-stats-polling-interval"),
    qom("qom-set", "nonsense", value=1),
    ("qom-get", {"path": 3, "property": "guest-stats"}),
    ("query-balloon", {"more": 1}),
    ("query-nonsense", {}),
    ("query-migrate", {}),
    ("stop", {}),
    ("balloon", {"value": 64 * MEBIBYTE}),
    ("cont", {}),
    "BALLOON_CHANGE",
    ("query-balloon", {}),
    ("query-status", {}),
    ("stop", {}),
    ("balloon", {"value": 128 * MEBIBYTE}),
    ("quit", {}),
    "SHUTDOWN",
]
# What QEMU's answers have and ours need not: out-of-band commands, which are offered and not required, and a member of 'query-status' that
# QEMU 9.0 has removed.
NOT_ASKED_FOR = {"greeting.QMP.capabilities", "query-status.singlestep"}


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

    def hear(self, name):
        while not any(event["event"] == name for event in self.events):
            message = self.read()
            if "event" in message:
                self.events.append(message)

    def make_guest_inflate(self, mebibytes):
        """The model guest does that by itself."""


class QEMU(Side):
    # Where QEMU's microvm has its virtio-mmio devices, and what they have at which offset.
    MMIO, STRIDE, DEVICES = 0xFEB00000, 0x200, 24
    DEVICE_ID, ACTUAL = 0x08, 0x104
    BALLOON_ID = 5

    def __init__(self, program, folder):
        path = os.path.join(folder, "qtest")
        process = subprocess.Popen(
            [program, "-machine", "microvm", "-accel", "tcg", "-m", "128", "-display", "none", "-S", "-nodefaults", "-no-user-config",
             "-device", "virtio-balloon-device,id=balloon0", "-qmp", "stdio",
             "-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "none"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        super().__init__("QEMU", process, process.stdout, process.stdin)
        self.test = connected(path, process)

    def tell(self, command):
        self.test.write(command + "\n")
        self.test.flush()
        answer = self.test.readline().split()
        if answer[:1] != ["OK"]:
            sys.exit(f"QEMU answered to {command}: {answer}")
        return int(answer[1], 0) if len(answer) > 1 else None

    def make_guest_inflate(self, mebibytes):
        for number in range(self.DEVICES):
            base = self.MMIO + number * self.STRIDE
            if self.tell(f"readl {base + self.DEVICE_ID:#x}") == self.BALLOON_ID:
                return self.tell(f"writel {base + self.ACTUAL:#x} {mebibytes * MEBIBYTE // 4096:#x}")
        sys.exit("QEMU's balloon is not where it was looked for")


def connected(path, process):
    end = time.monotonic() + SECONDS
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            connection.settimeout(SECONDS)
            return connection.makefile("rw")
        except OSError:
            connection.close()
            if time.monotonic() > end or process.poll() is not None:
                sys.exit(f"nobody has opened {path}")
            time.sleep(0.05)


def aerostat(program, folder):
    path = os.path.join(folder, "control")
    process = subprocess.Popen(
        [program, "run", "--memory", "128MiB", "--paused", "--control", path],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = connected(path, process)
    return Side("aerostat", process, file, file)


def kind(value):
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", list: "array", dict: "object", type(None): "null"}[type(value)]


def differences(theirs, ours, place):
    """What QEMU's value has that ours lacks."""
    if place in NOT_ASKED_FOR:
        return
    if kind(theirs) != kind(ours):
        yield f"{place}: {kind(theirs)} there, {kind(ours)} here"
    elif isinstance(theirs, dict):
        for name, value in theirs.items():
            if f"{place}.{name}" in NOT_ASKED_FOR:
                continue
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
        if theirs["error"] != ours["error"]:
            yield f"{place}: refused with {json.dumps(theirs['error'])} there, {json.dumps(ours['error'])} here"
    else:
        yield from differences(theirs["return"], ours["return"], command)


def main():
    found = []
    with tempfile.TemporaryDirectory() as folder:
        there = QEMU(sys.argv[2] if len(sys.argv) > 2 else "qemu-system-x86_64", folder)
        here = aerostat(sys.argv[1], folder)
        try:
            found += differences(there.greeting, here.greeting, "greeting")
            for step in SCRIPT:
                if isinstance(step, str):
                    there.hear(step)
                    here.hear(step)
                    continue
                command, arguments = step
                found += compare(command, arguments, there.ask(command, arguments), here.ask(command, arguments))
                if command == "cont":
                    there.make_guest_inflate(64)
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

"""Processes that the benchmark starts and talks to: guests, their control sockets, the plain loop, memory that is held ready."""

import glob
import json
import os
import re
import select
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(ROOT, ".cache", "bench")
AEROSTAT = os.path.join(ROOT, ".build", "release", "aerostat")
INSTRUMENTED = os.path.join(ROOT, ".build-instruments", "release", "aerostat")  # with the trait Instruments
PLAIN_LOOP = os.path.join(CACHE, "plainloop")
DIRECT_LOOP = os.path.join(CACHE, "directloop")
GIVE_BACK = os.path.join(CACHE, "giveback")
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
PAGE = 4 * KIB
SECONDS = 300  # no step here may take longer
COLD = False  # take memory as the host has it


class Failed(Exception):
    """A step failed. The row fails with this text."""


def build(is_built=False, instrumented=False):
    """Compiles what is measured and what measures.

    `instrumented`: also the program that measures itself, beside the one that people use.
    """
    os.makedirs(CACHE, exist_ok=True)
    for program in (PLAIN_LOOP, DIRECT_LOOP, GIVE_BACK):
        source = os.path.join(ROOT, "tools", "benchmarks", os.path.basename(program) + ".c")
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", program, source, "-luring"], check=True)
    if not is_built:
        subprocess.run(["swift", "build", "-c", "release", "--product", "aerostat"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    if not is_built and instrumented:
        command = ["swift", "build", "-c", "release", "--traits", "Instruments", "--scratch-path", ".build-instruments"]
        subprocess.run([*command, "--product", "aerostat"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


class Child:
    """A process whose standard output is read line by line. It ends with its `with` block."""

    def __init__(self, arguments, log=None):
        self.log = open(log, "wb") if log else subprocess.DEVNULL
        # If this process is killed, the kernel ends the other one.
        command = ["setpriv", "--pdeathsig", "KILL", "--", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.name = os.path.basename(arguments[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        if self.log is not subprocess.DEVNULL:
            self.log.close()

    def line(self):
        if not select.select([self.process.stdout], [], [], SECONDS)[0]:
            raise Failed(f"{self.name} said nothing for {SECONDS} s")
        text = self.process.stdout.readline().decode()
        if not text:
            raise Failed(f"{self.name} ended with {self.process.wait()}")
        return text.strip()

    def end_input(self):
        self.process.stdin.close()

    def memory(self):
        """VmHWM, RssAnon and so on, in bytes."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return {name: int(value) * KIB for name, value in re.findall(r"(\w+):\s+(\d+) kB", file.read())}


class Control:
    """A QMP client: JSON lines over a unix socket."""

    def __init__(self, path):
        deadline = time.monotonic() + SECONDS
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.socket.settimeout(SECONDS)
        self.lines = self.socket.makefile("r")
        self.events = []
        json.loads(self.lines.readline())
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        words = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.socket.sendall(json.dumps({"execute": command, "arguments": words}).encode() + b"\n")
        while True:
            answer = self._next()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise Failed(f"{command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def _next(self):
        text = self.lines.readline()
        if not text:
            raise Failed("the control socket closed")
        return json.loads(text)

    def end_of_migration(self):
        """Sleeps until the event, so that no request disturbs the migration; then returns the report."""
        while True:
            event = self.events.pop(0) if self.events else self._next()
            if event.get("event") == "MIGRATION" and event["data"]["status"] in ("completed", "failed", "cancelled"):
                report = self.execute("query-migrate")
                # QEMU announces the end a moment before it knows the total time.
                deadline = time.monotonic() + 5
                while report["status"] == "completed" and not report["total-time"] and time.monotonic() < deadline:
                    time.sleep(0.01)
                    report = self.execute("query-migrate")
                if report["status"] != "completed":
                    raise Failed(f"the migration {report['status']}: {report.get('error-desc', 'no reason given')}")
                return report


def hold(byte_count):
    """Holds memory that the host really backs. `release` gives it back when the measurement begins."""
    child = Child([PLAIN_LOOP, "hold", str(0 if COLD else byte_count)])
    child.line()
    return child


def release(held):
    held.end_input()
    held.process.wait()


class Guest(Child):
    """`aerostat run`. `place` is where it waits for a guest, if it does."""

    def __init__(self, folder, name, *options, program=AEROSTAT):
        path = os.path.join(folder, name)
        super().__init__([program, "run", "--control", path, *options], log=path + ".log")
        ready = json.loads(self.line())
        self.place = ready.get("incoming")
        self.control = Control(path)
        self.memory_at_start = self.memory()


class Migration:
    """Runs one migration between two fresh processes, and returns what was observed."""

    def __init__(self, memory, *options, used=0.0, freed=0.0, hints=True, downtime_limit=300, program=AEROSTAT):
        with tempfile.TemporaryDirectory(prefix="aerostat-bench.") as folder:
            shape = ["--memory", str(memory), "--used", f"{used * 100:.12f}%", "--freed", f"{freed * 100:.12f}%"]
            # The guest's pages, its tables, and the bitmaps of both processes.
            arriving = memory * (used + (0 if hints else freed)) * 1.05 + 8 * memory / PAGE / 8 + 64 * MIB
            with Guest(folder, "source", *shape, *options, program=program) as source, \
                    Guest(folder, "destination", "--incoming", "tcp:127.0.0.1:0") as destination, \
                    hold(int(arriving)) as held:
                if "--workload" in options:
                    time.sleep(1)
                source.control.execute("migrate-set-parameters", free_page_hints=hints, downtime_limit=downtime_limit)
                release(held)
                source.control.execute("migrate", uri=destination.place)
                self.report = source.control.end_of_migration()
                self.source, self.destination = source.memory(), destination.memory()
                self.source_guest, self.destination_guest = (guest_memory(each.process.pid, memory) for each in (source, destination))
                for guest in (source, destination):
                    guest.control.execute("quit")
                    guest.process.wait()
        self.seconds = self.report["total-time"] / 1e3
        self.downtime = self.report["downtime-us"] / 1e3


def guest_memory(process, byte_count):
    """How much guest RAM a process has populated: that of the only stretch of mappings with the length of guest RAM."""
    stretches = []
    with open(f"/proc/{process}/smaps") as file:
        for line in file:
            mapping = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+)", line)
            if mapping:
                start, end = int(mapping[1], 16), int(mapping[2], 16)
                if stretches and stretches[-1]["end"] == start and mapping[3] == "0":
                    stretches[-1]["end"] = end
                else:
                    stretches.append({"start": start, "end": end, "populated": 0})
            elif line.startswith("Rss:"):
                stretches[-1]["populated"] += int(line.split()[1]) * KIB
    whole = [each for each in stretches if each["end"] - each["start"] >= byte_count]
    return min(whole, key=lambda each: each["end"] - each["start"])["populated"] if whole else None


def plain_loop(byte_count, pages):
    """Seconds for a plain blocking send/recv loop to move the bytes between two fresh processes."""
    with Child([PLAIN_LOOP, "receive", str(byte_count), pages]) as receiver:
        with Child([PLAIN_LOOP, "send", receiver.line(), str(byte_count), pages]) as sender:
            sender.line()
            with hold(int(byte_count * 1.05)) as held:
                release(held)
                sender.end_input()
                return float(sender.line())


def direct_loop(path, byte_count, depth):
    """Seconds for a plain loop to write the bytes to a file, past the page cache, and to sync it."""
    whole_pages = (byte_count + PAGE - 1) // PAGE * PAGE
    with Child([DIRECT_LOOP, path, str(whole_pages), str(depth)]) as child:
        child.line()
        child.end_input()
        return float(child.line())


class ImageInfo:
    """The output of `aerostat image info` for an image."""

    def __init__(self, path):
        document = json.loads(subprocess.run([AEROSTAT, "image", "info", "--json", path], check=True, capture_output=True).stdout)
        self.stored, self.disk = document["stored-bytes"], document["disk-bytes"]

    @staticmethod
    def of_real_linux():
        """The largest image that tools/guest-image left; `None` if there is none."""
        images = glob.glob(os.path.join(ROOT, ".cache", "guest-image", "*", "image"))
        return max(images, key=os.path.getsize, default=None)


def memcpy_rate():
    """GB/s."""
    with Child([PLAIN_LOOP, "copy"]) as child:
        return float(child.line())


def median(values):
    return statistics.median(values)


def spread(values, unit="", digits=2):
    """A median with its extremes, for people."""
    values = list(values)
    text = f"{median(values):.{digits}f}{unit}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"

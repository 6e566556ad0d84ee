"""The bars of the balloon: inflating, migrating with a full balloon, reports, and a device that rests."""

import contextlib
import os
import re
import struct
import tempfile
import time

from processes import GIB, GIVE_BACK, MIB, PAGE, Child, Failed, Guest, guest_memory, hold, median, release, spread
from table import at_least, at_most, context, note

ROOM = 2 * GIB  # memory that must stay available to others
TABLE_PAGES = 16


def available_memory():
    with open("/proc/meminfo") as file:
        return int(re.search(r"MemAvailable:\s+(\d+) kB", file.read())[1]) << 10


@contextlib.contextmanager
def guest(*options):
    with tempfile.TemporaryDirectory(prefix="aerostat-bench.") as folder:
        with Guest(folder, "guest", *options) as child:
            yield child
            child.control.execute("quit")
            child.process.wait()


def resize(control, kept, patience=300):
    """Asks for a size, and waits until the guest has it.

    :returns: seconds
    """
    start = time.monotonic()
    control.execute("balloon", value=kept)
    while (info := control.execute("query-balloon"))["actual"] != kept:
        if time.monotonic() - start > patience:
            raise Failed(f"the guest did not reach {kept} bytes: {info}")
        time.sleep(0.005)
    return time.monotonic() - start


def inflating(runs):
    byte_count = 4 * GIB if available_memory() > 5 * GIB + ROOM else 2 * GIB
    # The rest is for the guest's tables, and for what its driver leaves free.
    memory = byte_count + byte_count // 8
    rows = []
    for shape, options in (("scattered", []), ("runs", ["--balloon-runs"])):
        ratios, seconds, plain = [], [], []
        for _ in range(runs):
            with Child([GIVE_BACK, str(byte_count), shape]) as reference:
                plain.append(float(reference.line()))
            with guest("--memory", str(memory), "--used", "2%", "--freed", "97%", *options) as child:
                before = guest_memory(child.process.pid, memory)
                seconds.append(resize(child.control, memory - byte_count))
                fell = before - guest_memory(child.process.pid, memory)
            if fell < 0.98 * byte_count:
                raise Failed(f"the balloon took {byte_count / MIB:.0f} MiB, and the guest's memory fell by {fell / MIB:.0f}")
            ratios.append(plain[-1] / seconds[-1])
            note(f"{shape}: {seconds[-1]:.3f} s, one madvise a run {plain[-1]:.3f} s, ratio {ratios[-1]:.2f}")
        row = at_least(f"inflating {byte_count / GIB:g} GiB, {shape}, speed / one madvise a run", ratios, 0.8)
        row.samples.update({"seconds": seconds, "plain": plain})
        rows += [row, context("the same in seconds: balloon, madvise", f"{spread(seconds)}, {spread(plain)}")]
    return rows


class BalloonedMigration:
    """A migration of a guest with so much in the balloon, and what was observed."""

    def __init__(self, memory, used, kept, hints, options=()):
        shape = ["--memory", str(memory), "--used", f"{used / memory * 100:.9f}%", "--freed", f"{(0.97 - used / memory) * 100:.9f}%"]
        shape += options
        with tempfile.TemporaryDirectory(prefix="aerostat-bench.") as folder:
            with Guest(folder, "source", *shape) as source, \
                    Guest(folder, "destination", "--incoming", "tcp:127.0.0.1:0") as destination, \
                    hold(int(kept * 1.05)) as held:
                if kept != memory:
                    resize(source.control, kept)
                source.control.execute("migrate-set-parameters", free_page_hints=hints)
                before = guest_memory(source.process.pid, memory)
                release(held)
                source.control.execute("migrate", uri=destination.place)
                self.report = source.control.end_of_migration()
                # A page that was read would be there again, or be a page of zeros that the page tables name.
                self.grown = guest_memory(source.process.pid, memory) - before
                for each in (source, destination):
                    each.control.execute("quit")
                    each.process.wait()


def migrating(runs):
    """A balloon in runs leaves blocks that are hinted. A scattered one leaves single pages, so there nobody has hints."""
    rows, touched, used = [], [], 512 * MIB
    for shape, hints, options in (("runs", True, ["--balloon-runs"]), ("scattered, no hints", False, [])):
        ratios, seconds = [], {4: [], 1: []}
        for _ in range(runs):
            large, small = BalloonedMigration(4 * GIB, used, GIB, hints, options), BalloonedMigration(GIB, used, GIB, hints)
            for size, each in ((4, large), (1, small)):
                seconds[size].append(each.report["total-time"] / 1e3)
            ratios.append(seconds[4][-1] / seconds[1][-1])
            report = large.report
            ballooned, ram = report["balloon"]["ballooned-pages"], report["ram"]
            if ballooned != 3 * GIB // PAGE:
                raise Failed(f"{ballooned} pages are in the balloon")
            # Only pages that exist are read. All that were sent are among them. The guest itself may touch a few pages of its tables.
            touched.append(max(0, ballooned - report["absent-pages"]) + max(0, large.grown // PAGE - TABLE_PAGES))
            note(f"{shape}: 4 GiB with 3 in the balloon {seconds[4][-1]:.3f} s, {ram['normal']} pages sent; 1 GiB {seconds[1][-1]:.3f} s, "
                 f"{small.report['ram']['normal']}; {ballooned} pages ballooned, {report['absent-pages']} absent, {touched[-1]} read")
        rows.append(at_most(f"4 GiB with 3 in the balloon / 1 GiB with the same use, time, {shape}", ratios, 1.1, " x"))
        rows.append(context("the same in seconds", f"{spread(seconds[4])}, {spread(seconds[1])}"))
    return [at_most("ballooned pages that a migration read or sent", [max(touched)], 0, " pages", 0)] + rows


def reported(control, pages, patience=60):
    """Waits until so many pages were reported."""
    deadline = time.monotonic() + patience
    while control.execute("query-balloon")["counters"].get("reported-pages", 0) < pages:
        if time.monotonic() > deadline:
            raise Failed(f"{pages} pages were not reported: {control.execute('query-balloon')}")
        time.sleep(0.02)


def fragmented(runs):
    # Of the freed memory 46 % are blocks of which the half stays in use: 30 % of what is free are blocks of 2 MiB then.
    shape = ["--used", "10%", "--freed", "50%", "--fragmentation", "46%", "--halves"]
    shares = {True: [], False: []}
    for _ in range(runs):
        for reports in (False, True):
            with tempfile.TemporaryDirectory(prefix="aerostat-bench.") as folder:
                options = ["--reporting-delay", "0.05s"] if reports else []
                with Guest(folder, "source", "--memory", str(2 * GIB), *shape, *options) as source, \
                        Guest(folder, "destination", "--incoming", "tcp:127.0.0.1:0") as destination:
                    if reports:
                        reported(source.control, int(0.5 * 0.76 * 2 * GIB / PAGE))
                    source.control.execute("migrate", uri=destination.place)
                    report = source.control.end_of_migration()
                    for each in (source, destination):
                        each.control.execute("quit")
                        each.process.wait()
            shares[reports].append(report["ram"]["transferred"] / report["guest"]["used-bytes"])
        note(f"bytes sent / used: hints {shares[False][-1]:.4f}, reports and hints {shares[True][-1]:.4f}")
    return [
        at_most("30 % of what is free in blocks of 2 MiB, reports and hints: bytes / used", shares[True], 1.02, " x", 4),
        context("the same with hints alone", spread(shares[False], " x", 4)),
    ]


class GuestView:
    """What a running model guest has counted itself, read from its memory without asking it (BootHeader, AllocatorState, VCPURecord)."""

    MAGIC, HUGE_PAGE = b"AERMODEL", 2 * MIB
    ALLOCATED_PAGES, DESCRIBED_BLOCKS = 0x200, 0x208
    VCPU_RECORDS, VCPU_RECORD_BYTES, STAMPED_PAGES = 4096, 128, 56
    # Per block of 4 MiB that was ever touched.
    TABLE_PAGES_PER_BLOCK = 4

    def __init__(self, child, memory, vcpus):
        self.process, self.memory, self.vcpus = child.process.pid, memory, vcpus
        self.file = open(f"/proc/{self.process}/mem", "rb", buffering=0)
        self.start = self._start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def _start(self):
        with open(f"/proc/{self.process}/maps") as file:
            for line in file:
                place = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if not place:
                    continue
                start = (int(place[1], 16) + self.HUGE_PAGE - 1) // self.HUGE_PAGE * self.HUGE_PAGE
                if start + PAGE <= int(place[2], 16) and self._read(start, 8) == self.MAGIC:
                    return start
        raise Failed("the guest's memory was not found")

    def _read(self, place, count):
        try:
            self.file.seek(place)
            return self.file.read(count)
        except OSError:
            return b""

    def _word(self, offset):
        return struct.unpack("<Q", self._read(self.start + offset, 8))[0]

    def used(self):
        """Bytes that the guest has allocated, and its tables."""
        return (self._word(self.ALLOCATED_PAGES) + self.TABLE_PAGES_PER_BLOCK * self._word(self.DESCRIBED_BLOCKS)) * PAGE

    def resident(self):
        return guest_memory(self.process, self.memory)

    def written(self):
        """Bytes that its virtual CPUs have written, ever."""
        records = (self.VCPU_RECORDS + self.VCPU_RECORD_BYTES * number for number in range(self.vcpus))
        return sum(self._word(record + self.STAMPED_PAGES) for record in records) * PAGE


def churn(rate, *options):
    return guest("--memory", str(2 * GIB), "--used", "10%", "--freed", "50%", "--workload", "churn", "--write-rate", rate, *options)


def throughput(view, seconds):
    before, start = view.written(), time.monotonic()
    time.sleep(seconds)
    return (view.written() - before) / (time.monotonic() - start)


# How long memory is free before the guest reports it. Linux has 2 s.
DELAY = 0.5


def following(runs):
    """Resident memory beside what the guest uses: at each moment the largest use within the time that a report may take counts."""
    reporting = ["--reporting-delay", f"{DELAY}s"]
    excesses = []
    for _ in range(runs):
        with churn("100MiB", *reporting) as child, GuestView(child, 2 * GIB, 1) as view:
            time.sleep(3)
            samples, end = [], time.monotonic() + 10
            while time.monotonic() < end:
                samples.append((time.monotonic(), view.used(), view.resident()))
                time.sleep(0.05)
        inside = [each for each in samples if each[0] > samples[0][0] + 2 * DELAY]
        values = [resident / max(use for at, use, _ in samples if now - 2 * DELAY <= at <= now) for now, _, resident in inside]
        excesses.append(median(values))
        uses = [use for _, use, _ in samples]
        note(f"use {min(uses) / MIB:.0f}-{max(uses) / MIB:.0f} MiB, resident / use {spread(values)}")
    return [at_most(f"resident memory / use {2 * DELAY:g} s before at most, churn with reports", excesses, 1.1, " x", 3)]


def reporting_costs(runs):
    rows = []
    for words, rate in (("churn 400 MiB/s", "400MiB"), ("churn as fast as it can", "1TiB")):
        rates = {False: [], True: []}
        for _ in range(runs):
            for reports in (False, True):
                with churn(rate, *(["--reporting-delay", "2s"] if reports else [])) as child, GuestView(child, 2 * GIB, 1) as view:
                    time.sleep(3)
                    rates[reports].append(throughput(view, 6) / MIB)
            note(f"{words}: without {rates[False][-1]:.0f} MiB/s, with reports after 2 s {rates[True][-1]:.0f} MiB/s")
        ratios = [those / these for those, these in zip(rates[True], rates[False])]
        text = f"throughput with reports / without, {words}"
        rows.append(at_least(text, ratios, 0.95) if rate == "400MiB" else context(text, spread(ratios, " x")))
    return rows


def switches(process, name):
    """How often a thread has gone to sleep by itself."""
    for task in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{task}/status") as file:
            text = file.read()
        if re.search(rf"^Name:\s+{name}$", text, re.MULTILINE):
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[1])
    raise Failed(f"process {process} has no thread {name}")


def resting(_):
    """The device of an idle guest with a balloon that has something in it."""
    rows = []
    with guest("--memory", str(256 * MIB), "--reporting-delay", "0.1s") as child:
        resize(child.control, 128 * MIB)
        time.sleep(2)
        for seconds, words in ((0, "not asked"), (1, "asked each second")):
            child.control.execute("qom-set", path="/machine/peripheral/balloon0", property="guest-stats-polling-interval", value=seconds)
            time.sleep(1.5)
            before = switches(child.process.pid, "balloon")
            asked = child.control.execute("query-balloon")["counters"].get("statistics-buffers", 0)
            time.sleep(10)
            answers = child.control.execute("query-balloon")["counters"].get("statistics-buffers", 0) - asked
            count = switches(child.process.pid, "balloon") - before
            note(f"{words}: {count} wake-ups in 10 s, {answers} answers")
            # One to ask, and one for the answer.
            rows.append(at_most(f"wake-ups of the device in 10 s, statistics {words}", [count], 2 * answers, "", 0))
    return rows


def balloon(runs):
    return [row for part in (inflating, migrating, fragmented, following, reporting_costs, resting) for row in part(runs)]


ROWS = {"balloon": balloon}

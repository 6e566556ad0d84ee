"""The bars, row by row. Each function measures, and returns the rows of the table that follow from it."""

import tempfile

import balloon
import images
import lab
import qemu
import trackers
from processes import GIB, INSTRUMENTED, MIB, PAGE, TIB, Failed, Migration, median, memcpy_rate, plain_loop, spread
from table import Row, at_least, at_most, context, note


# One bit for each page: pending, free, announced and skipped in the ledger, what the tracker found, what the devices wrote.
BITMAPS = 6


def throughput(runs):
    samples = {"aerostat": [], "round-1": [], "huge": [], "small": []}
    for _ in range(runs):
        migration = Migration(4 * GIB, used=0.75, hints=False)
        moved = migration.report["ram"]["transferred"]
        first = migration.report["rounds"][0]
        samples["aerostat"].append(moved / migration.seconds / 1e9)
        samples["round-1"].append(first["bytes"] / first["duration-ms"] / 1e6)
        for pages in ("huge", "small"):
            samples[pages].append(moved / plain_loop(moved, pages) / 1e9)
        note(", ".join(f"{name} {values[-1]:.2f} GB/s" for name, values in samples.items()))
    # The plain loop receives into memory as mmap provides it. The advised loop asks for huge pages at both ends, which is a harder
    # reference.
    ratios = [ours / loop for ours, loop in zip(samples["aerostat"], samples["small"])]
    advised = [ours / loop for ours, loop in zip(samples["aerostat"], samples["huge"])]
    row = at_least("throughput, no hints, 75 % used / plain loop", ratios, 0.8)
    row.samples.update(samples)
    rates = ", ".join(f"{name} {median(values):.2f}" for name, values in samples.items())
    return [
        row,
        context("the same / a loop that asks for huge pages", spread(advised, "x")),
        context("the same in GB/s: whole migration, round 1, loops", rates),
    ]


def hints(runs):
    shape = {"used": 0.10, "freed": 0.50}
    shares, tables, ratios, downtimes, seconds = [], [], [], [], {True: [], False: []}
    for _ in range(runs):
        for wanted in (False, True):
            migration = Migration(4 * GIB, hints=wanted, **shape)
            seconds[wanted].append(migration.seconds)
            downtimes.append(migration.downtime)
            if wanted:
                used = migration.report["guest"]["used-bytes"]
                shares.append(migration.report["ram"]["transferred"] / used)
                # The guest was asked to use a tenth, in whole pages. What it counts beyond that are its tables.
                tables.append((used / (4 * GIB) - shape["used"]) * 100)
        ratios.append(seconds[True][-1] / seconds[False][-1])
        note(f"with hints {seconds[True][-1]:.3f} s, without {seconds[False][-1]:.3f} s, bytes {shares[-1]:.4f} x used, "
             f"downtime {downtimes[-2]:.1f} and {downtimes[-1]:.1f} ms")
    return [
        at_most("bytes with hints / bytes the guest uses", shares, 1.03, " x", 4),
        at_most("the guest's tables, share of its RAM", tables, 0.8, " %", 3, strictly=True),
        at_most("time with hints / without", ratios, 0.35),
        context("the same in seconds: with hints, without", f"{spread(seconds[True])}, {spread(seconds[False])}"),
        at_most("downtime, idle", downtimes, 20, " ms", 1, strictly=True),
    ]


def downtime(runs):
    rows = []
    steady = ["--workload", "steady", "--write-rate", "100MiB", "--working-set", "256MiB"]
    for limit in (300, 100):
        values = []
        for _ in range(runs):
            migration = Migration(4 * GIB, *steady, used=0.10, freed=0.50, downtime_limit=limit)
            values.append(migration.downtime)
            note(f"limit {limit} ms: {migration.downtime:.1f} ms, {len(migration.report['rounds'])} rounds, {migration.seconds:.2f} s")
        rows.append(at_most(f"downtime, steady 100 MiB/s, limit {limit} ms", values, limit, " ms", 1, strictly=True))
    return rows


def sparse(runs):
    rows, engine, populated = [], [], []
    for wanted in (False, True):
        ratios, seconds = [], {4 * GIB: [], TIB: []}
        for _ in range(runs):
            for memory in seconds:
                migration = Migration(memory, used=GIB / memory, hints=wanted)
                seconds[memory].append(migration.seconds)
                if memory == TIB:
                    sides = ((migration.source, migration.source_guest), (migration.destination, migration.destination_guest))
                    if None in (migration.source_guest, migration.destination_guest):
                        raise Failed("the guest's memory was not found among the process's mappings")
                    engine.append(max(process["VmHWM"] - guest for process, guest in sides) / MIB)
                    populated.append(migration.destination_guest / migration.source_guest)
            ratios.append(seconds[TIB][-1] / seconds[4 * GIB][-1])
            note(f"1 TiB {seconds[TIB][-1]:.3f} s, 4 GiB {seconds[4 * GIB][-1]:.3f} s, hints {'on' if wanted else 'off'}; "
                 f"beside the guest at most {engine[-1]:.1f} MiB, destination populates {populated[-1]:.4f} of the source")
        rows.append(at_most(f"1 TiB with 1 GiB in it / 4 GiB with the same, hints {'on' if wanted else 'off'}", ratios, 2, " x"))
    # The worst one counts. A bitmap is populated only where it was written, so the size of all bitmaps is an allowance that should not be
    # needed.
    bitmaps = BITMAPS * TIB / PAGE / 8 / MIB
    words = f"memory beside the guest's at 1 TiB: process and {bitmaps:.0f} MiB of bitmaps"
    rows.append(at_most(words, [max(engine)], 64 + bitmaps, " MiB", 1))
    # The guest continues at the destination before the measurement, and may touch a page or two there for the first time.
    row = at_most("populated at destination / at source", [max(populated)], 1.0001, " x", 6)
    rows.append(row)
    return rows


def lock(runs):
    work, elapsed = [], []
    for _ in range(runs):
        migration = Migration(64 * GIB, used=GIB / (64 * GIB), freed=GIB / (64 * GIB), program=INSTRUMENTED)
        work.append(migration.report["longest-lock-hold-cpu-us"] / 1e3)
        elapsed.append(migration.report["longest-lock-hold-us"] / 1e3)
        note(f"{work[-1]:.3f} ms of processor time, {elapsed[-1]:.3f} ms on the clock")
    row = at_most("longest hold of the ledger's lock at 64 GiB, by its holder's work", work, 1, " ms", 3)
    row.passed = max(work) <= 1  # a limit that holds at any time, so the worst one counts
    return [row, context("the same on the clock, the kernel's scheduling included", spread(elapsed, " ms", 3))]


def against_qemu(runs):
    missing = qemu.what_is_missing()
    if missing:
        return [Row("against QEMU's migration", "2.5 x, 5 x", f"skipped: {missing}", None)]
    seconds = {name: [] for name in ("qemu", "qemu-hints", "ours", "ours-hints")}
    sent = {name: [] for name in seconds}
    with tempfile.TemporaryDirectory(prefix="aerostat-bench.") as folder, \
            qemu.Source(folder, hints=False) as plain, qemu.Source(folder, hints=True) as hinting:
        for _ in range(runs):
            for wanted, machine in ((False, plain), (True, hinting)):
                suffix = "-hints" if wanted else ""
                report = machine.migrate()
                migration = Migration(2 * GIB, used=0.093, freed=0.50, hints=wanted)
                for name, each in (("qemu", report), ("ours", migration.report)):
                    seconds[name + suffix].append(each["total-time"] / 1e3)
                    sent[name + suffix].append(each["ram"]["transferred"] / MIB)
            note(", ".join(f"{name} {values[-1]:.2f} s {sent[name][-1]:.0f} MiB" for name, values in seconds.items()))
    rows = []
    for suffix, bar, words in (("", 2.5, "without hints"), ("-hints", 5, "with hints")):
        ratios = [theirs / ours for theirs, ours in zip(seconds["qemu" + suffix], seconds["ours" + suffix])]
        row = at_least(f"faster than {qemu.version()}, 2 GiB guest, {words}", ratios, bar, " x")
        row.samples.update({name: seconds[name + suffix] for name in ("qemu", "ours")})
        rows.append(row)
    for name in ("qemu", "ours"):
        pairs = (f"{median(seconds[name + suffix]):.2f} s {median(sent[name + suffix]):.0f} MiB" for suffix in ("", "-hints"))
        rows.append(context(f"{'QEMU' if name == 'qemu' else 'aerostat'}: without hints, with", ", ".join(pairs)))
    return rows


def memory_speed(_):
    return [context("memcpy on one core, huge pages", f"{memcpy_rate():.1f} GB/s")]


ROWS = {
    "memory": memory_speed,
    "throughput": throughput,
    "hints": hints,
    "downtime": downtime,
    "sparse": sparse,
    "lock": lock,
    "qemu": against_qemu,
    **balloon.ROWS,
    **images.ROWS,
    **trackers.ROWS,
    **lab.ROWS,
}

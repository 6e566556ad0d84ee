"""The bars for guest images. The files lie in the repository's .cache, on the file system that is measured."""

import os
import tempfile
import time

from processes import AEROSTAT, CACHE, GIB, MIB, PAGE, Child, Failed, Guest, ImageInfo, direct_loop, median, spread
from table import Row, at_least, at_most, context, note

DEPTH = 16  # writes under way at a time, as many as aerostat has


def folder():
    return tempfile.TemporaryDirectory(prefix="images.", dir=CACHE)


def write_image(place, path, memory, *options, hints):
    """Moves a fresh guest into an image; returns the report."""
    with Guest(place, "writer", "--memory", str(memory), *options) as guest:
        guest.control.execute("migrate-set-parameters", free_page_hints=hints)
        guest.control.execute("migrate", uri="file:" + path)
        report = guest.control.end_of_migration()
        guest.control.execute("quit")
        guest.process.wait()
    return report


def writing(runs):
    ratios, rates = [], {"aerostat": [], "plain loop": []}
    for turn in range(runs):
        with folder() as place:
            path = os.path.join(place, "guest.image")

            def ours():
                report = write_image(place, path, 4 * GIB, "--used", "50%", "--freed", "0%", hints=False)
                os.unlink(path)
                return report["ram"]["transferred"], report["total-time"] / 1e3

            # Their order changes with each turn, because a disk may be faster at one moment than at the next.
            if turn % 2:
                loop = direct_loop(path, 2 * GIB, DEPTH)
                moved, seconds = ours()
            else:
                moved, seconds = ours()
                loop = direct_loop(path, moved, DEPTH)
        rates["aerostat"].append(moved / seconds / 1e9)
        rates["plain loop"].append((2 * GIB if turn % 2 else moved) / loop / 1e9)
        ratios.append(rates["aerostat"][-1] / rates["plain loop"][-1])
        note(", ".join(f"{name} {values[-1]:.2f} GB/s" for name, values in rates.items()))
    return [
        at_least("writing an idle guest's image, data rate / plain O_DIRECT loop", ratios, 0.85),
        context("the same in GB/s", ", ".join(f"{name} {spread(values)}" for name, values in rates.items())),
    ]


def size(_):
    with folder() as place:
        path = os.path.join(place, "guest.image")
        write_image(place, path, 4 * GIB, "--used", "10%", "--freed", "50%", "--fragmentation", "10%", hints=True)
        info = ImageInfo(path)
    return [at_most("image on disk / pages that hold data and are not free", [info.disk / info.stored], 1.02, " x", 4)]


def restore(runs):
    """The time from the start of the process to the line that says that the guest runs."""
    seconds = {GIB: [], 16 * GIB: []}
    with folder() as place:
        paths = {memory: os.path.join(place, f"{memory}.image") for memory in seconds}
        for memory, path in paths.items():
            write_image(place, path, memory, "--used", "50%", "--freed", "0%", hints=False)
        for _ in range(max(runs, 3)):
            for memory, path in paths.items():
                start = time.monotonic()
                with Child([AEROSTAT, "run", "--restore", "file:" + path, "--control", os.path.join(place, "restored")]) as guest:
                    guest.line()
                    seconds[memory].append(time.monotonic() - start)
            note(", ".join(f"{memory // GIB} GiB {values[-1] * 1e3:.1f} ms" for memory, values in seconds.items()))
    ratios = [large / small for small, large in zip(*seconds.values())]
    milliseconds = ", ".join(f"{memory // GIB} GiB {median(values) * 1e3:.1f} ms" for memory, values in seconds.items())
    return [
        at_most("time to the first guest instruction from an image, 16 GiB / 1 GiB", ratios, 1.5, " x"),
        context("the same, process start included", milliseconds),
    ]


def real_linux(_):
    """The largest image that tools/guest-image made."""
    path = ImageInfo.of_real_linux()
    if path is None:
        return [Row("a real Linux machine's memory", "all free top-order blocks skipped", "skipped: run tools/guest-image first", None)]
    moved = {}
    for hints in (False, True):
        with folder() as place, \
                Guest(place, "source", "--restore", "file:" + path, "--clone", "--preload") as source, \
                Guest(place, "destination", "--incoming", "tcp:127.0.0.1:0") as destination:
            top_order = source.control.execute("check-guest")["pages-free-top-order"]
            source.control.execute("migrate-set-parameters", free_page_hints=hints)
            source.control.execute("migrate", uri=destination.place)
            moved[hints] = source.control.end_of_migration()
            damaged = destination.control.execute("check-guest")["pages-wrong"]
            if damaged:
                raise Failed(f"{damaged} pages are wrong at the destination")
    with_hints, without = moved[True], moved[False]
    reported = with_hints["free-page-hints"]["reported-pages"]
    rest = without["ram"]["normal"] + without["ram"]["duplicate"] - with_hints["free-page-hints"]["skipped-pages"]
    # What is sent beyond the pages themselves: frames and descriptors.
    ratio = with_hints["ram"]["transferred"] / max(rest * PAGE, 1)
    sent = f"{without['ram']['transferred'] / MIB:.0f} MiB without hints, {with_hints['ram']['transferred'] / MIB:.0f} MiB with"
    machine = os.path.basename(os.path.dirname(path))
    return [
        at_least(f"{machine}: pages hinted / pages free in top-order blocks", [reported / top_order], 1, " x", 4),
        at_most("the same: bytes with hints / pages that are left", [ratio], 1.001, " x", 4),
        context("the same: sent", sent),
    ]


ROWS = {"image-write": writing, "image-size": size, "image-restore": restore, "image-linux": real_linux}

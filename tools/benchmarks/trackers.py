"""Compares the trackers of a guest under KVM: the cost of arming and harvesting in little memory, and in much unused memory."""

import os
import tempfile
import time

from processes import GIB, MIB, Guest, median, spread
from table import context, note

TRACKERS = ("kvm-dirty-log", "kvm-dirty-ring", "pagemap-scan")


def move_tiny(memory, tracker):
    """The report of a tiny guest's migration."""
    with tempfile.TemporaryDirectory(prefix="aerostat-bench.") as folder:
        options = ["--tracker", tracker]
        with Guest(folder, "source", "--guest", "tiny", "--vcpus", "2", "--memory", str(memory), *options) as source, \
                Guest(folder, "destination", "--guest", "kvm", "--incoming", "tcp:127.0.0.1:0", *options) as destination:
            time.sleep(0.3)  # both processes rehearse meanwhile
            source.control.execute("migrate", uri=destination.place)
            report = source.control.end_of_migration()
            for guest in (source, destination):
                guest.control.execute("quit")
                guest.process.wait()
    return report


def under_kvm(runs):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return [context("trackers under KVM", "not measured: /dev/kvm is not there, or not for this user")]
    rows = []
    for memory in (64 * MIB, 64 * GIB):
        values = {tracker: {"set-up": [], "harvest": [], "downtime": []} for tracker in TRACKERS}
        for _ in range(runs):
            for tracker, of in values.items():
                report = move_tiny(memory, tracker)
                of["set-up"].append(report["setup-time"])
                of["harvest"].append(median([each["harvest-ms"] for each in report["rounds"]]))
                of["downtime"].append(report["downtime-us"] / 1e3)
                note(f"{memory // MIB} MiB, {tracker}: " + ", ".join(f"{name} {each[-1]:.2f} ms" for name, each in of.items()))
        for tracker, of in values.items():
            text = ", ".join(f"{name} {spread(each, ' ms')}" for name, each in of.items())
            rows.append(context(f"tiny guest in {memory // MIB} MiB, {tracker}", text))
    return rows


ROWS = {"trackers": under_kvm}

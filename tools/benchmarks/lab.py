"""Compares the microVM with QEMU's, both with a stock Linux, in the lab of tools/kvm-lab. There is always one run only."""

import json
import os
import subprocess

from processes import ROOT, Failed
from table import at_least, at_most, note

SECONDS = 1800  # software emulation on a busy machine is slow
BARS = {
    "total time, hints off": 0.6,
    "total time, hints on": 0.6,
    "bytes with hints": 0.6,
    "downtime, hints off": 1,
    "downtime, hints on": 1,
    "boot to init": 1.1,
}


def beside_qemu(_):
    command = [os.path.join(ROOT, "tools", "kvm-lab"), "--no-build", "--timeout", str(SECONDS), "--bench"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if ended.returncode != 0:
        raise Failed("tools/kvm-lab: " + "; ".join(ended.stderr.splitlines()[-6:]))
    values = [json.loads(line) for line in ended.stdout.splitlines()]
    runs = [each for each in values if "vmm" in each]
    ratios = {each["ratio"]: each["value"] for each in values if "ratio" in each}
    for each in runs:
        if "hung" in each:
            note(f"{each['vmm']}, hints {each['hints']}: the migration did not end, and was tried again")
            continue
        note(f"{each['vmm']}, hints {each['hints']}: {each['total-ms']} ms, {each['bytes'] >> 20} MiB, downtime {each['downtime-ms']} ms, "
             f"init after {each['boot-to-init-seconds']} s")
    rows = [at_most(f"Linux in the lab, {name} / QEMU's microvm", [ratios[name]], bar, " x") for name, bar in BARS.items()]
    rows.append(at_least("Linux in the lab, free top-order blocks skipped", [ratios["free top-order blocks skipped"]], 0.95, " x", 4))
    return rows


ROWS = {"kvm": beside_qemu}

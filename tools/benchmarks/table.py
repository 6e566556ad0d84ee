"""One row of the benchmark's table, and how rows are made of measurements."""

from dataclasses import dataclass, field

from processes import median, spread


@dataclass
class Row:
    what: str
    bar: str
    measured: str
    passed: bool | None  # None: no bar, or no measurement possible
    samples: dict = field(default_factory=dict)


def note(text):
    print(f"    {text}", flush=True)


def at_most(what, values, bar, unit="", digits=2, strictly=False):
    """A row that passes if the median is at most the bar."""
    middle = median(values)
    passed = middle < bar if strictly else middle <= bar
    return Row(what, f"{'<' if strictly else '<='} {bar:g}{unit}", spread(values, unit, digits), passed, {"values": values})


def at_least(what, values, bar, unit="x", digits=2):
    return Row(what, f">= {bar:g}{unit}", spread(values, unit, digits), median(values) >= bar, {"values": values})


def context(what, text):
    return Row(what, "(context)", text, None)

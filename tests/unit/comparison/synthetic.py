"""A comparison that nobody measured."""

from __future__ import annotations

from selftrace.comparison.result import Comparison, ComparisonRow, Measured, Sample


def measured(program_s: float, *, start_s: float = 0.001, jitter: float = 0.02) -> Measured:
    programs = [program_s * (1 + jitter * (n - 3)) for n in range(7)]
    return Measured(tuple(Sample(p + start_s, p + start_s / 2, p, p * 0.9) for p in programs))


def comparison() -> Comparison:
    def both(program_s: float, free_s: float, **options: float) -> dict[str, Measured]:
        return {"pinned": measured(program_s, **options), "free": measured(free_s, **options)}

    rows = (
        ComparisonRow("none", "the program alone", "base", measured=both(0.010, 0.012)),
        ComparisonRow("trace", "selftrace trace", "self", measured=both(0.020, 0.020, start_s=0.08)),
        ComparisonRow("strace", "strace -f", "outside", measured=both(0.060, 0.212)),
        ComparisonRow("shaky", "b & <b>", "outside", measured=both(0.030, 0.030, jitter=0.2)),
        ComparisonRow("odd", "strange {}", "yours", differences=("exit status 1 instead of 0",), measured=both(0.010, 0.012)),
        ComparisonRow("gone", "not here", "outside", reason="it is not installed"),
    )
    return Comparison(("prog", "a b"), 7, {"read": 900, "write": 100}, rows, ("stdout varies",), {"cpu": "x", "pyperf": None})

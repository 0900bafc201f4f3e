"""Where a backend differs from the others, and why. The manual shows this table (guarantees.md); the tests hold to it."""

from __future__ import annotations

FORKS = "forked children and executed programs go on without it"
OWN_FILTER = "a program's own filter can take nothing from it, so it is not refused"

POLICIES: dict[tuple[str, str], str] = {
    ("count_by thread", "dispatch"): FORKS,
    ("count_by process", "dispatch"): FORKS,
    ("count_by tree", "dispatch"): FORKS,
    ("kill in a child", "dispatch"): FORKS,
    ("rules hold in what is executed", "dispatch"): FORKS,
    ("what takes the supervision apart", "dispatch"): OWN_FILTER,
}
"""(case of cases.py, backend): why it is not run there."""

TRACES: dict[tuple[str, str], str] = {
    ("children", "dispatch"): FORKS,
    ("what is executed", "dispatch"): FORKS,
    ("what is executed", "inject"): "a program that is executed is another one, without the interposer; its children are traced",
}
"""The same of the cases of stories.py."""

GENERAL: tuple[tuple[str, str, str], ...] = (
    ("none", "refuses and reports nothing", "it is what the others are compared with"),
    ("dispatch", "reports no refusal: they are errors in the trace", "the program that is judged is the one that would be told"),
    (
        "ptrace",
        "has no Python handlers, and no `short` of several buffers: such policies do not start",
        "both are made inside the program",
    ),
    ("ptrace", "names no line of the script in a report", "the Python stack is not read from outside"),
    ("inject", "traces, and holds no policy", "what runs already has been under none"),
)
"""(backend, what, why) that is so in every case."""


def shown() -> str:
    """The table as the manual has it."""
    lines = ["| backend | what is different | why |", "|---|---|---|"]
    lines += [f"| {backend} | {what} | {why} |" for backend, what, why in GENERAL]
    reasons: dict[tuple[str, str], list[str]] = {}
    for (case, backend), why in {**POLICIES, **TRACES}.items():
        reasons.setdefault((backend, why), []).append(case)
    lines += [f"| {backend} | {'; '.join(cases)} | {why} |" for (backend, why), cases in reasons.items()]
    return "\n".join(lines)

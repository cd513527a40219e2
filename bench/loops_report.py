"""The tables of `python -m bench loops`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.loops_cold import SECONDS, SHARE, Cold
from bench.loops_memory import OVER, TIMES, Memory
from bench.report import duration, markdown, three_digits

if TYPE_CHECKING:
    from bench.loops import Row

LITERAL_FASTER, BEST_FASTER, BEST_MEAN = 50.0, 1.0, 2.0


def text(
    rows: Sequence[Row],
    cold: Sequence[Cold],
    memory: Memory | str,
    versions: Mapping[str, str],
    where: Mapping[str, Any],
) -> str:
    """Everything, as Markdown."""
    parts = [
        program_table(rows),
        *literal_notes(rows),
        *stencil_summary(rows),
        "",
        cold_table(cold),
        "",
        memory_text(memory),
        "",
        "versions: " + ", ".join(f"{name} {v}" for name, v in versions.items()),
        "machine: " + ", ".join(f"{key} {value}" for key, value in where.items()),
    ]
    worst = max((row.error for row in rows), default=0.0)
    return "\n".join([*parts, f"largest difference of a result: {worst:.1e}"])


def program_table(rows: Sequence[Row]) -> str:
    """gradjit's time, in units of the others'; JAX's in units of gradjit's."""
    lines = [
        [
            *("program", "size", "gradjit", "/ handwritten", "/ primal"),
            *("jax, literal", "jax, best", "target", "reached"),
        ]
    ]
    for row in rows:
        program = row.program
        lines.append(
            [
                program.name,
                row.size,
                duration(row.seconds["gradjit"]),
                _ratio(row.ratio("handwritten")),
                _ratio(row.ratio("primal")),
                _multiple(row.literal, "jax-literal"),
                _multiple(row.seconds, "jax"),
                f"{program.target} {program.against}",
                _yes(row.reached),
            ]
        )
    return markdown(lines)


def _ratio(x: float | None) -> str:
    return "-" if x is None else f"{x:.2f}"


def _yes(x: bool | None) -> str:
    return "-" if x is None else "yes" if x else "NO"


def _multiple(seconds: Mapping[str, float], name: str) -> str:
    if name not in seconds:
        return "-"
    times = three_digits(seconds[name] / seconds["gradjit"])
    return f"{duration(seconds[name])} ({times}x)"


def literal_notes(rows: Sequence[Row]) -> list[str]:
    """At which sizes the literal ports were measured."""
    sizes = [
        f"{row.program.name} {row.literal_size}"
        f" (gradjit {duration(row.literal['gradjit'])})"
        for row in rows
        if row.literal
    ]
    return ["", "jax, literal, is measured with: " + "; ".join(sizes)] if sizes else []


def stencil_summary(rows: Sequence[Row]) -> list[str]:
    """The targets against JAX, which are those of the stencils."""
    stencils = [row for row in rows if row.literal and "jax" in row.seconds]
    if not stencils:
        return []
    literal = min(r.literal["jax-literal"] / r.literal["gradjit"] for r in stencils)
    best = [r.seconds["jax"] / r.seconds["gradjit"] for r in stencils]
    mean = statistics.geometric_mean(best)
    lines = (
        ("literal port, least", literal, LITERAL_FASTER),
        ("best port, least", min(best), BEST_FASTER),
        ("best port, geometric mean", mean, BEST_MEAN),
    )
    return [
        "",
        *(
            f"stencils, times faster than jax, {name}: {three_digits(x)},"
            f" target {target:g}: {_yes(x >= target)}"
            for name, x, target in lines
        ),
    ]


def cold_table(cold: Sequence[Cold]) -> str:
    """First compilations; our part is all from the user's function to a file."""
    lines = [["cold compile", "trace to file", "Numba", "our share", "reached"]]
    for row in cold:
        share = f"{100 * row.share:.0f} %"
        times = duration(row.ours), duration(row.numba)
        lines.append([row.name, *times, share, _yes(row.reached)])
    note = f"target: our share under {100 * SHARE:.0f} % and under {SECONDS} s"
    return markdown(lines) + "\n\n" + note


def memory_text(memory: Memory | str) -> str:
    """The wave with and without a limit of memory."""
    if isinstance(memory, str):
        return f"wave with a limit of memory: skipped, {memory}"
    grown = {
        "primal": memory.primal,
        "no limit": memory.unlimited,
        f"memory={memory.limit!r}": memory.limited,
    }
    peaks = ", ".join(f"{name} {x:.1f} MB" for name, x in grown.items())
    return "\n".join(
        [
            f"wave, {memory.size}: peak of resident memory in a call: {peaks};",
            f"{duration(memory.seconds_unlimited)} without a limit,"
            f" {duration(memory.seconds_limited)} with it ({memory.ratio:.2f} times);"
            f" target under {OVER:g} MB over the primal and at most {TIMES:g} times:"
            f" {_yes(memory.reached)}",
        ]
    )

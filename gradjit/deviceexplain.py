"""What a function for a device launches, waits for and runs alone, as tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradjit.explain import Row, name_of, table, text
from gradjit.ir.graph import Block, Eqn, walk
from gradjit.ops.device import ITEM, LAUNCH

if TYPE_CHECKING:
    from gradjit.lowered import Lowered
    from gradjit.passes.pipeline import Device

# What a launch is spread over, by the function of the runtime that finds its grid.
_SPREAD = {
    "elements": "elements: a thread for each",
    "grid2": "elements: a thread for each, the last axis along x",
    "rows": "rows: a block for each",
    "items": "iterations, or numbers: a thread for each",
    "columns": "columns: threads for each, in parts",
    "one": "one thread",
}


def device_tables(lowered: Lowered, device: Device) -> list[str]:
    """Tables of kernels, of what runs alone, of the host's loops and of what it waits.

    Args:
        lowered: A lowered function.
        device: What is for the device of it.
    """
    block = lowered.program.graph.block
    head = ("name", "line", "spread over", "launched by")
    parts = [table("kernels", head, _kernels(lowered, block))]
    alone = [(_line(e), _kind(e), why) for e, why in device.alone]
    if alone:
        parts.append(
            table("loops that one thread runs", ("line", "loop", "because"), alone)
        )
    loops = _host_loops(lowered, block)
    if loops:
        head = ("line", "over", "launches")
        parts.append(table("loops that the host runs", head, loops))
    waits = _waits(lowered, block)
    parts.append(table("the host waits for", ("line", "what", "because"), waits))
    return parts


def _line(eqn: Eqn) -> str:
    return str(eqn.loc.line) if eqn.loc is not None else ""


def _kind(eqn: Eqn) -> str:
    return eqn.op.name.rstrip("_")


def _kernels(lowered: Lowered, block: Block) -> list[Row]:
    rows: list[Row] = []
    for eqn in walk(block):
        if eqn.op is LAUNCH:
            config: str = eqn.params["config"]
            sizes = ", ".join(text(lowered, a) for a in eqn.args[: eqn.params["sizes"]])
            how = f"dev.{config}({sizes})"
            rows.append((eqn.params["kernel"], _line(eqn), _SPREAD[config], how))
    return rows


def _host_loops(lowered: Lowered, block: Block) -> list[Row]:
    rows: list[Row] = []
    for eqn in walk(block):
        if eqn.op.name not in ("for_", "while_"):
            continue
        over = "while"
        if eqn.op.name == "for_":
            over = f"range({', '.join(text(lowered, a) for a in eqn.args[:3])})"
        inside = [e for r in eqn.regions for e in walk(r) if e.op is LAUNCH]
        numbers = ", ".join(e.params["kernel"].rpartition("_")[2] for e in inside)
        rows.append((_line(eqn), over, f"kernels {numbers}" if inside else "nothing"))
    return rows


def _waits(lowered: Lowered, block: Block) -> list[Row]:
    rows: list[Row] = []
    for eqn in walk(block):
        if eqn.op is ITEM:
            (out,) = eqn.outs
            rows.append((_line(eqn), name_of(lowered, out), _reason(block, eqn)))
        elif eqn.op.name == "nonzero":
            rows.append((_line(eqn), "nonzero", "how many there are is an extent"))
    return rows


def _reason(block: Block, item: Eqn) -> str:
    """What the host needs a number for: the first use of it."""
    for eqn, results in _with_results(block):
        if eqn is None:
            if item.out in results:
                return "the condition of a loop"
        elif item.out in eqn.args:
            return _NEEDS.get(eqn.op.name, "what the host computes")
    return "what the host computes"


_NEEDS = {"if_": "a branch", "for_": "how often a loop runs", "check": "a check"}


def _with_results(block: Block) -> Iterator[tuple[Eqn | None, Sequence[object]]]:
    """Equations in order, and the results of the conditions of loops."""
    for eqn in walk(block):
        yield eqn, ()
        if eqn.op.name == "while_":
            yield None, eqn.regions[0].results


def device_memory() -> str:
    """The most memory that was in use, once something has run in this process."""
    pool = sys.modules.get("gradjit.cuda.pool")
    most = pool.peak() if pool is not None else 0
    if not most:
        return ""
    return f"device memory of this process: {most} bytes at most at one time"

"""Loops and branches as statements.

Carried values have one name; where a result could not take it, it is assigned at the
end of the body, all such results as if at once (`a, b = b, a + b`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradjit.errors import InternalError
from gradjit.ir.graph import Atom, Block, Const, Eqn, Value

if TYPE_CHECKING:
    from gradjit.codegen.emit import Printer


def print_copies(p: Printer, targets: Sequence[Value], sources: Sequence[Atom]) -> None:
    """Assign sources to targets as if all at once."""
    rest = p.named.copies(targets, sources)
    texts = {t: p.expr.atom(s) for t, s in rest}
    reads = {t: set(re.findall(r"\w+", texts[t])) for t, _ in rest}
    while rest:
        for t, _ in rest:
            others = (reads[o] for o, _ in rest if o is not t)
            if not any(p.name(t) in r for r in others):
                _copy(p, t, texts[t])
                rest = [pair for pair in rest if pair[0] is not t]
                break
        else:
            left = [p.name(t) for t, _ in rest]
            right = [texts[t] for t, _ in rest]
            p.out.add_list(f"{', '.join(left)} = ", right, "", ("(", ")"))
            return


def _copy(p: Printer, target: Value, text: str) -> None:
    p.out.add(f"{p.name(target)} = {text}")


def print_for(p: Printer, eqn: Eqn) -> None:
    (body,) = eqn.regions
    inits = eqn.args[3:]
    print_copies(p, eqn.outs, inits)
    p.comment(eqn.loc)
    items = _range(p, eqn.args[:3])
    if eqn.params.get("parallel") == "chunks":
        items = f"numba.p{items}"
        _require_in_place(p, eqn)
    head = f"for {p.name(body.params[0])} in {items}:"
    exits = eqn.params.get("exits", False)
    with p.body(head, eqn.loc):
        if exits and eqn.outs[0] in p.named.breaks:
            _body_with_break(p, eqn, body)
            return
        first = inits[0] if exits else None
        late = isinstance(first, Const) and not first.value
        if exits and not late:
            _break_if(p, eqn.outs[0])
        p.block(body)
        print_copies(p, eqn.outs, body.results)
        if late:
            _break_if(p, eqn.outs[0])


def _require_in_place(p: Printer, eqn: Eqn) -> None:
    """Threads share names: what they carry has to stay where it is."""
    if p.named.copies(eqn.outs, eqn.regions[0].results):
        raise InternalError("a parallel loop assigns what it carries")


def _body_with_break(p: Printer, eqn: Eqn, body: Block) -> None:
    flag = body.results[0]
    if flag not in p.named.inlined:
        _with_break(p, body, flag, body.results)
        return
    p.block(body)
    print_copies(p, eqn.outs[1:], body.results[1:])
    _break_if(p, flag)


def _break_if(p: Printer, flag: Atom) -> None:
    with p.out.block(f"if {p.expr.atom(flag)}:"):
        p.out.add("break")


def _range(p: Printer, bounds: Sequence[Atom]) -> str:
    start, _, step = bounds
    texts = [p.expr.atom(b) for b in bounds]
    if isinstance(step, Const) and step.value == 1:
        texts.pop()
        if isinstance(start, Const) and start.value == 0:
            texts.pop(0)
    return f"range({', '.join(texts)})"


def _with_break(p: Printer, block: Block, flag: Atom, results: Sequence[Atom]) -> None:
    """A block whose last branch may leave the loop."""
    *before, last = [e for e in block.eqns if p.is_statement(e)]
    for eqn in before:
        p.comment(eqn.loc)
        p.statement(eqn)
    p.comment(last.loc)
    at = last.outs.index(flag)  # type: ignore[arg-type]
    then, orelse = last.regions
    leaves = [_always(r.results[at]) for r in last.regions]
    if leaves[1] and not leaves[0]:
        with p.out.block(f"if {p.expr.negated(last.args[0]).text}:"):
            _leaf(p, last, orelse, at)
        _leaf(p, last, then, at)
        return
    with p.out.block(f"if {p.expr.atom(last.args[0])}:"):
        _leaf(p, last, then, at)
    if leaves[0] and not leaves[1]:
        _leaf(p, last, orelse, at)
    elif _prints(p, last, orelse) or not isinstance(orelse.results[at], Const):
        with p.out.block("else:"):
            _leaf(p, last, orelse, at)


def _leaf(p: Printer, eqn: Eqn, region: Block, at: int) -> None:
    flag = region.results[at]
    if not isinstance(flag, Const):
        _with_break(p, region, flag, region.results)
        return
    _branch(p, eqn, region)
    if flag.value:
        p.out.add("break")


def print_while(p: Printer, eqn: Eqn) -> None:
    cond, body = eqn.regions
    print_copies(p, eqn.outs, eqn.args)
    p.comment(eqn.loc)
    pure = not any(p.is_statement(e) for e in cond.eqns)
    head = p.expr.atom(cond.results[0]) if pure else "True"
    with p.body(f"while {head}:", eqn.loc):
        if not pure:
            p.block(cond)
            with p.out.block(f"if {p.expr.negated(cond.results[0]).text}:"):
                p.out.add("break")
        p.block(body)
        print_copies(p, eqn.outs, body.results)


def print_if(p: Printer, eqn: Eqn, word: str = "if") -> None:
    if eqn.outs and eqn.outs[0] in p.named.choices:
        p.assign(eqn, p.expr.expression(eqn).text)
        return
    then, orelse = eqn.regions
    if not _prints(p, eqn, then):
        if _prints(p, eqn, orelse):
            head = p.expr.negated(eqn.args[0]).text
            with p.out.block(f"{word} {head}:"):
                _branch(p, eqn, orelse)
        return
    with p.out.block(f"{word} {p.expr.atom(eqn.args[0])}:"):
        _branch(p, eqn, then)
    inner = _only_if(p, eqn, orelse)
    if inner is not None:
        print_if(p, inner, "elif")
    elif _prints(p, eqn, orelse):
        with p.out.block("else:"):
            _branch(p, eqn, orelse)


def _prints(p: Printer, eqn: Eqn, region: Block) -> bool:
    """Whether there is anything to print in a branch."""
    return any(p.is_statement(e) for e in region.eqns) or bool(
        p.named.copies(eqn.outs, region.results)
    )


def _branch(p: Printer, eqn: Eqn, region: Block) -> None:
    p.block(region)
    print_copies(p, eqn.outs, region.results)


def _only_if(p: Printer, eqn: Eqn, region: Block) -> Eqn | None:
    """The `if_` that is all there is in an else branch."""
    printed = [e for e in region.eqns if p.is_statement(e)]
    if len(printed) != 1 or printed[0].op.name != "if_":
        return None
    (inner,) = printed
    if inner.outs and inner.outs[0] in p.named.choices:
        return None
    if not _prints(p, inner, inner.regions[0]):
        return None
    return None if p.named.copies(eqn.outs, region.results) else inner


def _always(flag: Atom) -> bool:
    """Whether a branch always leaves the loop."""
    return isinstance(flag, Const) and bool(flag.value)

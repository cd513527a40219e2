"""How the body of a loop ends: assignments to carried names, and `break`.

A result that could not take the carried name, and that nothing else reads, is printed
in the assignment at the end of the body (`a, b = b, a + b`), unless something is stored
before: LLVM vectorises over a carried number if its next value is there before the old
one goes into memory. An exit whose flag nobody
reads after the loop is a `break`: at the end of the body if the flag is an expression,
inside of the branches if the body ends with a branch that decides it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from gradjit.ir.graph import Atom, Block, Const, Eqn, Value, uses, walk
from gradjit.ir.named import Named
from gradjit.ir.types import ScalarType
from gradjit.passes.inline import Inlining, is_expression, overwritten
from gradjit.passes.share import Sharing
from gradjit.passes.subscript import WRITES


def inline_results(block: Block, inlining: Inlining, sharing: Sharing) -> bool:
    """Inline results of bodies into what stands at their end; whether any was."""
    reads = Counter(uses(block))
    found = [
        _inline_carried(e, inlining, sharing, reads)
        for e in walk(block)
        if e.op.name in ("for_", "while_")
    ]
    inlining.forget()
    return any(found)


def _inline_carried(
    eqn: Eqn, inlining: Inlining, sharing: Sharing, reads: Counter[Value]
) -> bool:
    body = eqn.regions[-1]
    position = {o: k for k, e in enumerate(body.eqns) for o in e.outs}
    flag = eqn.outs[0] if _is_silent_exit(eqn, reads) else None
    changed = False
    for out, result in zip(eqn.outs, body.results, strict=True):
        if not isinstance(result, Value) or result not in position:
            continue
        if result in inlining.inlined or reads[result] != 1:
            continue
        if out is not flag:
            if sharing.root(result) == sharing.root(out):
                continue
            if result.name not in ("", out.name):
                continue
        at = position[result]
        if out is flag and _reads_old(eqn, body.eqns[at], inlining, sharing):
            continue
        if _movable_to_end(body, at, inlining, sharing):
            inlining.inlined[result] = body.eqns[at]
            changed = True
    return changed


def _reads_old(eqn: Eqn, test: Eqn, inlining: Inlining, sharing: Sharing) -> bool:
    """Whether a test reads what the copies at the end, before it, overwrite."""
    body = eqn.regions[-1]
    copied = {
        sharing.root(out)
        for out, result in zip(eqn.outs[1:], body.results[1:], strict=True)
        if not isinstance(result, Value)
        or result in inlining.inlined
        or sharing.root(result) != sharing.root(out)
    }
    return any(sharing.root(v) in copied for v in inlining.leaves_of(test))


def _movable_to_end(body: Block, at: int, inlining: Inlining, sharing: Sharing) -> bool:
    eqn = body.eqns[at]
    if not is_expression(eqn):
        return False
    leaves = inlining.leaves_of(eqn)
    arrays = {v for v in leaves if not isinstance(v.type, ScalarType)}
    roots = {sharing.root(v) for v in leaves}
    for later in body.eqns[at + 1 :]:
        if later.op.name in WRITES or (arrays and overwritten(later)):
            return False
        for e in (later, *(x for r in later.regions for x in walk(r))):
            if any(sharing.root(o) in roots for o in e.outs):
                return False
    return True


def _is_silent_exit(eqn: Eqn, reads: Counter[Value]) -> bool:
    """Whether a loop has an exit whose flag starts as False and is read by nobody."""
    if eqn.op.name != "for_" or not eqn.params.get("exits"):
        return False
    init = eqn.args[3]
    if not (isinstance(init, Const) and init.value is False):
        return False
    return not reads[eqn.outs[0]] and not reads[eqn.regions[0].params[1]]


def with_breaks(named: Named) -> Named:
    """Find the loops whose exits can be printed as `break`."""
    reads = Counter(uses(named.graph.block))
    breaks: set[Value] = set()
    dropped: set[Value] = set()
    for eqn in walk(named.graph.block):
        if eqn.op.name != "for_" or not eqn.params.get("exits"):
            continue
        silent = _is_silent_exit(eqn, reads)
        flags = _exit_flags(eqn, named, silent)
        if flags is None:
            continue
        breaks.add(eqn.outs[0])
        if silent:
            dropped |= {eqn.outs[0], eqn.regions[0].params[1], *flags}
    return replace(named, breaks=frozenset(breaks), dropped=frozenset(dropped))


def _exit_flags(eqn: Eqn, named: Named, silent: bool) -> set[Value] | None:
    """The flags of the branches that end the body, or None if there is more to it."""
    body = eqn.regions[0]
    init = eqn.args[3]
    if not (isinstance(init, Const) and init.value is False):
        return None
    if body.results[0] in named.inlined:
        return set() if silent else None
    if named.copies(eqn.outs[1:], body.results[1:]):
        return None
    flags: set[Value] = set()
    if not _tail_flags(body, body.results[0], named, flags):
        return None
    same = {named.names[f] for f in flags} == {named.names[eqn.outs[0]]}
    return flags if same else None


def _tail_flags(block: Block, flag: Atom, named: Named, flags: set[Value]) -> bool:
    if isinstance(flag, Const):
        return True
    printed = [e for e in block.eqns if not (e.outs and e.outs[0] in named.inlined)]
    last = printed[-1] if printed else None
    if last is None or last.op.name != "if_" or flag not in last.outs:
        return False
    if last.outs[0] in named.choices:
        return False
    at = last.outs.index(flag)
    others = [k for k in range(len(last.outs)) if k != at]
    flags.add(flag)
    for region in last.regions:
        inner = region.results[at]
        if not _tail_flags(region, inner, named, flags):
            return False
        targets = [last.outs[k] for k in others]
        if isinstance(inner, Value) and named.copies(
            targets, [region.results[k] for k in others]
        ):
            return False
    return True

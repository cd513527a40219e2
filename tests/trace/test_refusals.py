"""What is not traced is refused with the line, the reason and the way out."""

# The traced functions are written as users write them:
# ruff: noqa: SIM102, SIM108

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradjit.config import override
from tests.trace.run import refusal

X = np.array([0.5, -1.5, 2.5])
COUNT = [0]
TOTAL = 0.0


def unsupported_numpy(x: Any) -> Any:
    return np.linalg.qr(x)


def try_block(x: Any) -> Any:
    try:
        y = math.log(x[0])
    except ValueError:
        y = 0.0
    return y


def generator(x: Any) -> Any:
    yield x


async def coroutine(x: Any) -> Any:
    return x


def writes_global(x: Any) -> Any:
    global TOTAL
    TOTAL = x[0]
    return x


def writes_nonlocal(x: Any) -> Any:
    count = 0

    def bump() -> None:
        nonlocal count
        count += 1

    bump()
    return x * count


def deletes(x: Any) -> Any:
    y = x * 2
    del y
    return x


def formats(x: Any) -> Any:
    name = f"{x[0]:.2f}"
    return len(name)


def prints(x: Any) -> Any:
    print(x)
    return x


def python_bool(x: Any) -> Any:
    return [v for v in (x[0], x[1]) if v > 0]


def python_int(x: Any) -> Any:
    return [1.0, 2.0][int(x[0])]


def array_condition(x: Any) -> Any:
    if x > 0:
        return x
    return -x


def unbound(x: Any) -> Any:
    if x[0] > 0:
        if False:
            y = 1.0
    return y


def two_kinds(x: Any) -> Any:
    if x[0] > 0:
        y = None
    else:
        y = x[0]
    return y * 2


def forgotten_return(x: Any) -> Any:
    if x[0] > 0:
        return x[0]


def growing(x: Any) -> Any:
    out = []
    i = 0
    while x[i] > 0:
        out.append(x[i])
        i += 1
    return out


def grows_in_a_branch(x: Any) -> Any:
    out = [x[0]]
    if x[1] > 0:
        out.append(x[1])
    return sum(out)


def endless(x: float) -> float:
    return endless(x) + 1


def never_ends(x: float) -> float:
    while True:
        x = x + 1
    return x


def long_unrolled(x: Any) -> Any:
    return sum([endless_list[i] * x[0] for i in range(3)]) + unrolled(x)


endless_list = [1.0, 2.0, 3.0]


def unrolled(x: Any) -> Any:
    items = [1.0] * 50
    s = 0.0
    for i in range(50):
        s += items[i] * x[0]
    return s


def random_numbers(x: Any) -> Any:
    return x + np.random.default_rng(0).normal(size=3)


def writes_to_a_global_list(x: Any) -> Any:
    COUNT[0] = x[0]
    return x


def appends_to_a_global_list(x: Any) -> Any:
    COUNT.append(1)
    return x


def raises_own_error(x: Any) -> Any:
    if x[0] > 0:
        raise OwnError("no")
    return x


class OwnError(Exception):
    pass


CASES = [
    (
        unsupported_numpy,
        X.reshape(1, 3),
        1,
        "np.linalg.qr is not supported: it is called with a traced value\n"
        "  Write it with supported functions (docs/ops.md), or call it outside and "
        "pass the result in.",
    ),
    (
        try_block,
        X,
        1,
        "try around traced values\n"
        "  Compiled code does not catch exceptions: test for the condition with an if, "
        "and keep traced values out of the try block.",
    ),
    (
        generator,
        X,
        1,
        "a generator function cannot be traced\n  Build a list, or return the values.",
    ),
    (coroutine, X, 0, "an async function cannot be traced"),
    (
        writes_global,
        X,
        1,
        "the global name 'TOTAL' is assigned\n"
        "  Return the new value, or keep it in an array or an object that is passed "
        "in.",
    ),
    (
        writes_nonlocal,
        X,
        4,
        "the nonlocal name 'count' is assigned\n"
        "  Return the new value, or keep it in an array or an object that is passed "
        "in.",
    ),
    (
        deletes,
        X,
        2,
        "del of the traced name 'y'\n"
        "  Leave it out: memory is freed when a value is not needed any more.",
    ),
    (
        formats,
        X,
        1,
        "a traced value is formatted as a string\n"
        "  Return the value and format it outside; in the message of an error it is "
        "allowed.",
    ),
    (
        prints,
        X,
        1,
        "print of a traced value\n  Return the value, and print or format it outside.",
    ),
    (
        python_bool,
        X,
        1,
        "a traced value is used as a Python bool, but it depends on the elements of an "
        "array\n"
        "  Use an if statement, np.where or a mask: comprehension conditions, `in` and "
        "sorting need a bool that is known while tracing.",
    ),
    (
        python_int,
        X,
        1,
        "a traced value is used as a Python int, but it depends on the elements of an "
        "array\n"
        "  Use it in arithmetic or as an index of an array; a Python list needs an int "
        "that is known while tracing.",
    ),
    (
        array_condition,
        X,
        1,
        "an array of type bool[?] is used as a condition\n"
        "  Use np.where or a mask for a choice by element, np.any or np.all for one of "
        "the whole array.",
    ),
    (
        unbound,
        X,
        4,
        "the name 'y' is not bound on the way here\n"
        "  Give it a value before the branch or the loop.",
    ),
    (
        two_kinds,
        X,
        5,
        "the name 'y' is None on one path and a number on another\n"
        "  Give it the same kind of value on all paths.",
    ),
    (
        forgotten_return,
        X,
        1,
        "the returned value is a number on one path and None on another\n"
        "  Give it the same kind of value on all paths.",
    ),
    (
        growing,
        X,
        3,
        "a traced value is used as a Python bool, but it depends on the elements of an "
        "array\n"
        "  Use an if statement, np.where or a mask: comprehension conditions, `in` and "
        "sorting need a bool that is known while tracing.",
    ),
    (
        grows_in_a_branch,
        X,
        3,
        "a list changes its length (append) under a condition that is only known at "
        "run time\n"
        "  Make the container of the same length on both paths.",
    ),
    (
        endless,
        1.0,
        1,
        "endless calls itself more than 100 times deep\n"
        "  Write the recursion as a loop: its depth has to be known while tracing.",
    ),
    (
        never_ends,
        1.0,
        1,
        "this while loop never ends\n"
        "  Its condition does not depend on what the body changes.",
    ),
    (
        random_numbers,
        X,
        1,
        "Generator.normal draws random numbers\n"
        "  Draw them outside, and pass them in as an array.",
    ),
    (
        writes_to_a_global_list,
        X,
        1,
        "an item of an object from outside of the function is written\n"
        "  Return the new value instead, or pass the object in as an argument.",
    ),
    (
        appends_to_a_global_list,
        X,
        1,
        "a list from outside of the function is changed\n"
        "  Make it inside, or return what is added.",
    ),
    (
        raises_own_error,
        X,
        2,
        "OwnError is raised where only a run-time value decides\n"
        "  Raise one of Python's own exceptions, as ValueError, or use assert.",
    ),
]


@pytest.mark.parametrize(
    ("f", "x", "offset", "message"), CASES, ids=[c[0].__name__ for c in CASES]
)
def test_refusals(f: Any, x: Any, offset: int, message: str) -> None:
    line = f.__code__.co_firstlineno + offset
    with open(__file__) as file:
        text = file.read().splitlines()[line - 1].strip()
    head = f"UnsupportedError: test_refusals.py:{line}: {text}\n  "
    assert refusal(f, x) == head + message


def test_no_source() -> None:
    space: dict[str, Any] = {}
    exec("def f(x):\n    return x * 2", space)
    assert refusal(space["f"], 1.0) == (
        "UnsupportedError: the source of f (from <string>) is not available\n"
        "  Define the function in a file or a notebook cell, not with exec or eval."
    )


def test_the_limit_of_unrolling() -> None:
    line = unrolled.__code__.co_firstlineno + 3
    with override(unroll_limit=20):
        message = refusal(unrolled, X)
    assert message == (
        f"UnsupportedError: test_refusals.py:{line}: for i in range(50):\n"
        "  a loop is unrolled more than 20 times, which is the limit (GRADJIT_UNROLL). "
        f"It is unrolled because of {__file__}:{line + 1}: s += items[i] * x[0].\n"
        "  Loop over a range or an array, and keep values in arrays rather than in "
        "Python lists: then one copy of the body serves all iterations."
    ).replace(__file__, "test_refusals.py")

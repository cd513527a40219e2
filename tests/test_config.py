"""Settings come from the environment, and can be overridden for a while."""

from __future__ import annotations

import pytest

from gradjit import config


def test_defaults() -> None:
    assert config.from_environment({}) == config.Settings()


def test_environment() -> None:
    found = config.from_environment(
        {
            "GRADJIT_DEBUG": "2",
            "GRADJIT_CHECK": "1",
            "GRADJIT_JIT": "0",
            "GRADJIT_CACHE_DIR": "here",
            "GRADJIT_UNROLL": "7",
            "GRADJIT_VECTOR_MATH": "none",
        }
    )
    assert found == config.Settings(2, True, False, "here", 7, "none")


def test_a_variable_that_is_no_number() -> None:
    with pytest.raises(ValueError, match=r"^GRADJIT_DEBUG is a number, not 'yes'$"):
        config.from_environment({"GRADJIT_DEBUG": "yes"})


def test_a_variable_that_is_no_choice() -> None:
    message = "^GRADJIT_VECTOR_MATH is auto, libmvec, polynomial or none, not 'svml'$"
    with pytest.raises(ValueError, match=message):
        config.from_environment({"GRADJIT_VECTOR_MATH": "svml"})


def test_override_ends() -> None:
    before = config.settings()
    with config.override(jit=False, debug=3) as inside:
        assert config.settings() is inside
        assert (inside.jit, inside.debug) == (False, 3)
    assert config.settings() is before


def test_show_names_every_variable() -> None:
    text = config.show()
    for variable in ("DEBUG", "CHECK", "JIT", "CACHE_DIR", "UNROLL", "VECTOR_MATH"):
        assert f"GRADJIT_{variable}" in text


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("none", "none: libm, one element at a time"),
        (
            "polynomial",
            "polynomials, at the widths that LLVM finds for this machine",
        ),
    ],
)
def test_show_says_which_vector_math_is_in_use(module: str, line: str) -> None:
    with config.override(vector_math=module):
        assert config.show().splitlines()[-1] == f"vector math in use: {line}"

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
        }
    )
    assert found == config.Settings(2, True, False, "here", 7)


def test_a_variable_that_is_no_number() -> None:
    with pytest.raises(ValueError, match=r"^GRADJIT_DEBUG is a number, not 'yes'$"):
        config.from_environment({"GRADJIT_DEBUG": "yes"})


def test_override_ends() -> None:
    before = config.settings()
    with config.override(jit=False, debug=3) as inside:
        assert config.settings() is inside
        assert (inside.jit, inside.debug) == (False, 3)
    assert config.settings() is before


def test_show_names_every_variable() -> None:
    text = config.show()
    for variable in ("DEBUG", "CHECK", "JIT", "CACHE_DIR", "UNROLL"):
        assert f"GRADJIT_{variable}" in text

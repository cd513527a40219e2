"""Codes of errors that kernels find."""

from __future__ import annotations

import pytest

import gradjit.cuda
from gradjit.cuda import buffers, place, status
from gradjit.cuda import device as dev
from gradjit.cuda.place import Place
from gradjit.errors import InternalError, ShapeError
from tests.cuda import faked

MESSAGES = [
    ("IndexError", "m.py:3: y = x[i]\n  index 7 is out of bounds"),
    ("ValueError", "m.py:4: bad"),
    ("ShapeError", "m.py:5: extents differ"),
]


def test_codes() -> None:
    first = status.register(MESSAGES)
    assert 0 < first < 2**31 - len(MESSAGES)
    assert status.register(list(MESSAGES)) == first
    other = status.register(MESSAGES[:1])
    assert other not in range(first, first + 3)
    for k, (kind, text) in enumerate(MESSAGES):
        error = status.error_of(first + k)
        assert type(error).__name__ == kind
        assert str(error) == text
    assert isinstance(status.error_of(first + 2), ShapeError)
    assert isinstance(status.error_of(first + 3), InternalError)
    assert status.register([]) > 0


def test_the_code_is_the_same_in_every_process() -> None:
    # A kernel in Numba's cache on disk has the code of the process that compiled it.
    assert status.register(MESSAGES) == 711_672_576


def test_many_messages() -> None:
    many = [("ValueError", str(k)) for k in range(1000)]
    first = status.register(many)
    assert [str(status.error_of(first + k)) for k in (0, 255, 256, 999)] == [
        "0",
        "255",
        "256",
        "999",
    ]


def test_collision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_blocks", {})
    monkeypatch.setattr(status.zlib, "crc32", lambda text: 2**23 - 3)
    codes = [status.register([("ValueError", str(k))]) for k in range(3)]
    assert len({code // 256 for code in codes}) == 3
    for k, code in enumerate(codes):
        assert 0 < code <= 2**31 - 256
        assert str(status.error_of(code)) == str(k)


def test_raised_where_the_host_waits(here: Place, driver: faked.Driver) -> None:
    first = dev.register(MESSAGES)
    a = dev.ones(3)

    def found(code: int) -> None:
        """What a kernel does that finds an error, interrupted in a reduction."""
        faked.seen(dev.status())[0] = code
        faked.seen(dev.counters())[5] = 2

    for waits in (
        dev.synchronize,
        gradjit.cuda.synchronize,
        lambda: dev.item(dev.reshape(a[:1], ())),
        lambda: dev.nonzero(a),
        lambda: buffers.to_host(a),
    ):
        found(first + 1)
        with pytest.raises(ValueError, match=r"^m\.py:4: bad$"):
            waits()
        assert faked.seen(dev.status())[0] == 0
        assert (faked.seen(dev.counters()) == 0).all()
        waits()


def test_synchronize_sees_all_streams(here: Place) -> None:
    other = place.at(0x51)
    faked.seen(other.status)[0] = dev.register(MESSAGES)
    with pytest.raises(IndexError, match="index 7 is out of bounds"):
        dev.synchronize()
    dev.synchronize()

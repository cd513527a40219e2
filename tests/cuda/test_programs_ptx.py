"""Every kernel of the programs is compiled for two generations of GPUs."""

import pytest

import gradjit
from tests.cuda import ptx
from tests.cuda.launches import compiled
from tests.cuda.programs import PROGRAMS


@pytest.mark.parametrize(("dtype", "cc"), [("float64", (8, 0)), ("float32", (9, 0))])
@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_become_ptx(name, dtype, cc):
    if why := ptx.reason():
        pytest.skip(why)
    program = PROGRAMS[name]
    function = gradjit.value_and_grad(program.function, program.wrt, target="cuda")
    texts = compiled(function, program.at(dtype), cc)
    assert texts
    assert all(".visible .entry" in text for text in texts)

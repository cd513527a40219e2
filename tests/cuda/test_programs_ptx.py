"""Every kernel of the programs is compiled for two generations of GPUs."""

import pytest

import gradjit
from tests.cuda import ptx
from tests.cuda.launches import compiled
from tests.cuda.programs import PROGRAMS


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_become_ptx(name, dtype):
    if why := ptx.reason():
        pytest.skip(why)
    program = PROGRAMS[name]
    cc = (9, 0) if dtype == "float32" else (8, 0)
    function = gradjit.value_and_grad(program.function, program.wrt, target="cuda")
    texts = compiled(function, program.at(dtype), cc)
    assert texts
    assert all(".visible .entry" in text for text in texts)

"""Every kernel of the programs is compiled for two generations of GPUs."""

import pytest

import gradjit
from tests.cuda import ptx
from tests.cuda.launches import compiled
from tests.cuda.programs import PROGRAMS

# In turn: the ops of both are compiled for both, in `test_ops_ptx`.
CASES = [
    (name, *(("float64", (8, 0)) if k % 2 else ("float32", (9, 0))))
    for k, name in enumerate(PROGRAMS)
]


@pytest.mark.parametrize(("name", "dtype", "cc"), CASES)
def test_kernels_become_ptx(name, dtype, cc):
    if why := ptx.reason():
        pytest.skip(why)
    program = PROGRAMS[name]
    function = gradjit.value_and_grad(program.function, program.wrt, target="cuda")
    texts = compiled(function, program.at(dtype), cc)
    assert texts
    assert all(".visible .entry" in text for text in texts)

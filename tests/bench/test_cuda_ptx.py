"""The programs of `python -m bench cuda` compile for GPUs; no device is needed."""

import pytest

from bench.cuda_case import cast
from bench.cuda_programs import PROGRAMS
from tests.cuda import ptx
from tests.cuda.launches import compiled

BY_NAME = {program.name: program for program in PROGRAMS}


@pytest.mark.parametrize("name", BY_NAME)
def test_all_kernels_of_a_program_become_ptx(name):
    if why := ptx.reason():
        pytest.skip(why)
    program = BY_NAME[name]
    texts = compiled(program.ours("cuda"), cast(program.small(), "float32"), (9, 0))
    assert texts
    assert all(".visible .entry" in text for text in texts)

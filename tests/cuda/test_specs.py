"""What a device array of another library is for the compiler."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradjit.errors import DtypeError
from gradjit.leaf import array_spec


@pytest.mark.parametrize("dtype", ["float32", "torch.float32", np.dtype("f4")])
def test_dtypes_by_their_names(dtype):
    spec = array_spec(SimpleNamespace(dtype=dtype, ndim=2, shape=(3, 1)), ())
    assert (spec.kind, spec.dtype, spec.dims) == ("array", np.float32, (None, 1))


@pytest.mark.parametrize("dtype", ["torch.bfloat16", "float16", "torch.complex64"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(DtypeError) as caught:
        array_spec(SimpleNamespace(dtype=dtype, ndim=1, shape=(3,)), ())
    assert str(caught.value) == (
        f"{dtype} arrays are not supported\n"
        "  Use float64, float32, an integer dtype or bool."
    )

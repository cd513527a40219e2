"""value_and_grad of layer_norm (golden_on_device.py:15).

Written by gradjit 0.1.0; target: cuda.
"""

from gradjit.cuda import collective as co
from gradjit.cuda import device as dev
from gradjit.cuda import elementary as el
from gradjit.cuda.shim import cuda


@cuda.jit
def value_and_grad_layer_norm_1(
    parts, parts2, d_x, count, n, x, d_d, g, b, d_d2, out, parts3, counters,
):
    at = cuda.blockIdx.x
    d_b = parts[at]
    d_g = parts2[at]
    t = 0.0
    for i in range(at, count, cuda.gridDim.x):
        # line 16: d = x - x.mean(axis=-1, keepdims=True)
        at2 = cuda.threadIdx.x
        at3 = cuda.blockDim.x
        t2 = 0.0
        for j in range(at2, n, at3):
            t2 += x[i, j]
        t3 = co.block_sum_float64(t2)
        t4 = t3 / n
        t5 = 0.0
        # line 17: v = (d * d).mean(axis=-1, keepdims=True)
        for j in range(at2, n, at3):
            # line 16: d = x - x.mean(axis=-1, keepdims=True)
            d = x[i, j] - t4
            t5 += d * d
        # line 17: v = (d * d).mean(axis=-1, keepdims=True)
        t6 = co.block_sum_float64(t5)
        v = t6 / n
        # line 18: return np.sum((d / np.sqrt(v + 1e-5) * g + b) ** 2)
        t7 = el.sqrt(v + 1e-05)
        d_d3 = d_d[at]
        t8 = 0.0
        t9 = 0.0
        for j in range(at2, n, at3):
            # line 16: d = x - x.mean(axis=-1, keepdims=True)
            d = x[i, j] - t4
            t10 = d / t7
            t11 = t10 * g[j] + b[j]
            t12 = 2.0 * t11
            d_d4 = t12 * g[j] / t7
            t13 = d_d4 * t10
            t14 = -t13
            t8 += t11 * t11
            d_b[j] += t12
            d_g[j] += t12 * t10
            d_d3[j] = d_d4
            t9 -= t13
        # line 18: return np.sum((d / np.sqrt(v + 1e-5) * g + b) ** 2)
        t15 = co.block_sum_float64(t8)
        t16 = co.block_sum_float64(t9)
        t += t15
        d_v = t16 * (0.5 / t7)
        # line 17: v = (d * d).mean(axis=-1, keepdims=True)
        t17 = d_v / n
        cuda.syncthreads()
        d_d5 = d_d2[at]
        t18 = 0.0
        for j in range(at2, n, at3):
            # line 16: d = x - x.mean(axis=-1, keepdims=True)
            d = x[i, j] - t4
            d_d6 = d_d3[j] + t17 * (2.0 * d)
            t19 = -d_d6
            d_d5[j] = d_d6
            t18 -= d_d6
        # line 17: v = (d * d).mean(axis=-1, keepdims=True)
        t20 = co.block_sum_float64(t18)
        # line 16: d = x - x.mean(axis=-1, keepdims=True)
        t21 = t20 / n
        cuda.syncthreads()
        for j in range(at2, n, at3):
            d_x[i, j] = d_d5[j] + t21
        cuda.syncthreads()
    co.grid_sum_float64(t if cuda.threadIdx.x == 0 else 0.0, parts3, counters, 0, out)


@cuda.jit
def value_and_grad_layer_norm_2(size, count, d_b, parts):
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        t = d_b[i]
        for j in range(count):
            t += parts[j, i]
        d_b[i] = t


@cuda.jit
def value_and_grad_layer_norm_3(size, count, d_g, parts):
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        t = d_g[i]
        for j in range(count):
            t += parts[j, i]
        d_g[i] = t


def value_and_grad_layer_norm(x, g, b):
    parts = dev.parts()
    counters = dev.counters()
    n = x.shape[0]
    m = x.shape[1]
    # line 18: return np.sum((d / np.sqrt(v + 1e-5) * g + b) ** 2)
    if m != g.shape[0]:
        raise ValueError(
            "golden_on_device.py:18: return np.sum((d / np.sqrt(v + 1e-5) * g + b) ** "
            "2): extents of the operands of mul differ"
        )
    if m != b.shape[0]:
        raise ValueError(
            "golden_on_device.py:18: return np.sum((d / np.sqrt(v + 1e-5) * g + b) ** "
            "2): extents of the operands of add differ"
        )
    d_b = dev.zeros(m)
    d_g = dev.zeros(m)
    d_x = dev.empty((n, m))
    blocks = dev.count_blocks(n, m)
    # line 16: d = x - x.mean(axis=-1, keepdims=True)
    parts2 = dev.zeros((blocks, m))
    blocks2 = dev.count_blocks(n, m)
    parts3 = dev.zeros((blocks2, m))
    blocks3 = dev.count_blocks(n, m)
    d_d = dev.empty((blocks3, m))
    blocks4 = dev.count_blocks(n, m)
    d_d2 = dev.empty((blocks4, m))
    work = dev.empty(())
    value_and_grad_layer_norm_1[dev.rows(n, m)](
        parts2, parts3, d_x, n, m, x, d_d, g, b, d_d2, work, parts, counters,
    )
    value_and_grad_layer_norm_2[dev.items(m)](m, blocks, d_b, parts2)
    value_and_grad_layer_norm_3[dev.items(m)](m, blocks2, d_g, parts3)
    return work, d_x, d_g, d_b

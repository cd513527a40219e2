"""Backpropagation derived by hand, next to gradjit's.

The deep network of chapter 7 of S. Prince, Understanding Deep Learning (2023): K = 5
hidden layers of D = 6 units, column vectors, lists of weights and biases that are
filled layer by layer. With f_k = b_k + W_k h_k, h_k = ReLU(f_{k-1}) and a least-squares
loss, the backward pass goes from the output to the input:

    dl/db_k = dl/df_k               dl/dW_k     = dl/df_k h_k^T           (7.23)
    dl/dh_k = W_k^T dl/df_k         dl/df_{k-1} = [f_{k-1} > 0] dl/dh_k   (7.25)

    python examples/backprop_by_hand.py
"""

import numpy as np

import gradjit

K = 5  # hidden layers
D = 6  # units in each
D_INPUT = 1
D_OUTPUT = 1


def parameters(rng):
    """K + 1 weights and biases: into the first hidden layer, ..., into the output."""
    widths = [D_INPUT, *[D] * K, D_OUTPUT]
    weights = [None] * (K + 1)
    biases = [None] * (K + 1)
    for k in range(K + 1):
        weights[k] = rng.normal(size=(widths[k + 1], widths[k]))
        biases[k] = rng.normal(size=(widths[k + 1], 1))
    return weights, biases


def relu(f):
    return np.maximum(f, 0.0)


def network(weights, biases, x):
    """Output, all pre-activations and all activations."""
    all_f = [None] * (K + 1)
    all_h = [None] * (K + 1)
    all_h[0] = x
    for k in range(K):
        all_f[k] = biases[k] + weights[k] @ all_h[k]
        all_h[k + 1] = relu(all_f[k])
    all_f[K] = biases[K] + weights[K] @ all_h[K]
    return all_f[K], all_f, all_h


def loss(weights, biases, x, y):
    prediction, _, _ = network(weights, biases, x)
    return np.sum((prediction - y) ** 2)


def backward_by_hand(weights, biases, x, y):
    """The gradients of the loss, as the book derives them."""
    prediction, all_f, all_h = network(weights, biases, x)
    d_weights = [None] * (K + 1)
    d_biases = [None] * (K + 1)
    d_f = 2.0 * (prediction - y)
    for k in range(K, -1, -1):
        # One column for each example: the bias is shared by all of them.
        d_biases[k] = np.sum(d_f, axis=1, keepdims=True)
        d_weights[k] = d_f @ all_h[k].T
        if k > 0:
            d_h = weights[k].T @ d_f
            d_f = (all_f[k - 1] > 0) * d_h
    return d_weights, d_biases


def main():
    rng = np.random.default_rng(0)
    weights, biases = parameters(rng)
    x = rng.normal(size=(D_INPUT, 1))
    y = np.array([[2.0]])

    by_hand = backward_by_hand(weights, biases, x, y)
    backward = gradjit.grad(loss, argnums=(0, 1))
    by_gradjit = backward(weights, biases, x, y)

    worst = 0.0
    print(f"{'':10} {'by hand':>24} {'gradjit':>24} {'difference':>11}")
    for letter, hand, ours in zip("Wb", by_hand, by_gradjit, strict=True):
        for k in range(K + 1):
            scale = max(np.max(np.abs(hand[k])), 1.0)
            gap = np.max(np.abs(hand[k] - ours[k])) / scale
            worst = max(worst, gap)
            i = np.unravel_index(np.argmax(np.abs(hand[k])), hand[k].shape)
            name = f"dl/d{letter}_{k}"
            print(f"{name:10} {hand[k][i]:24.16e} {ours[k][i]:24.16e} {gap:11.1e}")
    print("(the largest entry of each, and the largest difference of all entries)")
    assert worst < 1e-12, "the two backward passes disagree"


if __name__ == "__main__":
    main()

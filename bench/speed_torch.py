"""What PyTorch is given for `python -m bench speed`: its own fused functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional


def cross_entropy(scores, labels):
    return functional.cross_entropy(scores, labels)


def perceptron(layers, inputs, labels):
    (first, bias), (second, offset) = layers
    hidden = torch.relu(torch.addmm(bias, inputs, first))
    return functional.cross_entropy(torch.addmm(offset, hidden, second), labels)


def block(x, gain, shift, weights, bias, target):
    h = functional.layer_norm(x, x.shape[1:], gain, shift)
    out = torch.addmm(bias, functional.gelu(h, approximate="tanh"), weights)
    return functional.mse_loss(out, target)


def prepare(
    function: Callable[..., Any], argnums: tuple[int, ...], args: tuple[Any, ...]
) -> Callable[[], Any]:
    """A call from NumPy arrays, which are not copied, to a value and gradients."""

    def run() -> Any:
        watched: list[Any] = []
        inputs = [
            tensors(x, watched if i in argnums else None) for i, x in enumerate(args)
        ]
        out = function(*inputs)
        grads = torch.autograd.grad(out, watched)
        return out.item(), [g.numpy() for g in grads]

    return run


def tensors(tree: Any, watched: list[Any] | None) -> Any:
    """The same nest of tensors; those to differentiate by are added to `watched`."""
    if isinstance(tree, list | tuple):
        return [tensors(branch, watched) for branch in tree]
    leaf = torch.from_numpy(tree)
    if watched is not None:
        watched.append(leaf.requires_grad_())
    return leaf

"""What PyTorch is given for `python -m bench cuda`, eagerly and with `torch.compile`.

Each builder takes what wraps the parts that are compiled, which is `torch.compile` or
nothing, and gives a function of tensors to value and gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import func
from torch.nn import functional

from bench import speed_torch
from bench.cuda_case import AbsentError, each
from bench.cuda_device import Way

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
Build = Callable[[Wrap], Callable[..., Any]]


def _chain(x):
    return torch.sum(x * torch.exp(-x * x) + torch.tanh(x))


def _kmeans(points, centres):
    gaps = points[:, None, :] - centres[None, :, :]
    return torch.sum(torch.amin(torch.sum(gaps**2, 2), 1))


def _gmm(logits, means, log_scales, points):
    white = (points[:, None, :] - means) * torch.exp(log_scales)
    scores = logits + torch.sum(log_scales, 1) - 0.5 * torch.sum(white**2, 2)
    return torch.logsumexp(logits, 0) - torch.mean(torch.logsumexp(scores, 1))


def _prices(spot, strike, vol, rate, time):
    width = vol * torch.sqrt(time)
    near = (torch.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / width
    discount = torch.exp(-rate * time)
    far = near - width
    normal = torch.special.ndtr
    return spot * normal(near) - strike * discount * normal(far)


def _loss(function: Callable[..., Any], *argnums: int) -> Build:
    """A function to one number, and its gradients."""

    def build(wrap: Wrap) -> Callable[..., Any]:
        compiled = wrap(function)

        def run(*args):
            return _gradients(compiled, args, argnums)

        return run

    return build


def _gradients(function, args, argnums):
    wrt = [args[i].detach().requires_grad_() for i in argnums]
    full = list(args)
    for i, x in zip(argnums, wrt, strict=True):
        full[i] = x
    value = function(*full)
    return value.detach(), torch.autograd.grad(value, wrt)


def _greeks(wrap: Wrap) -> Callable[..., Any]:
    """A price depends on its own option alone: one gradient of the sum is all."""
    compiled = wrap(_prices)

    def run(*options):
        options = [x.detach().requires_grad_() for x in options]
        prices = compiled(*options)
        return prices.detach(), torch.autograd.grad(prices.sum(), options)

    return run


def _step(wrap: Wrap) -> Callable[..., Any]:
    def loss(w, b, u, c, inputs, labels):
        return speed_torch.perceptron([(w, b), (u, c)], inputs, labels)

    compiled = wrap(loss)

    def run(layers, inputs, labels, rate):
        flat = [x for layer in layers for x in layer]
        value, grads = _gradients(compiled, (*flat, inputs, labels), range(4))
        with torch.no_grad():
            moved = torch._foreach_add(flat, grads, alpha=-rate)
        return value, [tuple(moved[:2]), tuple(moved[2:])]

    return run


def _newton(wrap: Wrap) -> Callable[..., Any]:
    """All items take the steps that the slowest one needs; those that are done rest."""

    def once(x, change, a, b):
        busy = torch.abs(change) > 1e-6 * torch.abs(x)
        better = (x**3 + a * x - b) / (3.0 * x**2 + a)
        change = torch.where(busy, better, change)
        return torch.where(busy, x - change, x), change, busy

    compiled = wrap(once)

    def roots(a, b):
        x = b / a
        change, busy = x, torch.ones_like(x, dtype=torch.bool)
        while bool(busy.any()):
            x, change, busy = compiled(x, change, a, b)
        return x

    def run(a, b):
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        x = roots(a, b)
        return x.detach(), torch.autograd.grad(x.sum(), (a, b))

    return run


def _residual(camera, point, weight, feature):
    axis = camera[:3]
    place = point - camera[3:6]
    angle = torch.sqrt(axis @ axis)
    unit = axis / angle
    cos, sin = torch.cos(angle), torch.sin(angle)
    along = (1.0 - cos) * (unit @ place)
    seen = cos * place + sin * torch.linalg.cross(unit, place) + along * unit
    uv = seen[:2] / seen[2]
    radius = uv @ uv
    zoom = camera[6] * (1.0 + radius * (camera[9] + radius * camera[10]))
    return weight * (zoom * uv + camera[7:9] - feature)


def _jacobian(wrap: Wrap) -> Callable[..., Any]:
    def one(camera, point, weight, feature):
        def twice(*wrt):
            out = _residual(*wrt, feature)
            return out, out

        blocks, out = func.jacrev(twice, (0, 1, 2), has_aux=True)(camera, point, weight)
        return out, blocks

    return wrap(func.vmap(one))


def _heat(wrap: Wrap) -> Callable[..., Any]:
    """The step is compiled; the loop over a thousand of them is Python's."""

    def spread(u):
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        inner = 0.2 * around - 0.8 * u[1:-1, 1:-1]
        return u + functional.pad(inner, (1, 1, 1, 1))

    compiled = wrap(spread)

    def loss(u, steps, weights):
        for _ in range(steps):
            u = compiled(u)
        return torch.sum(weights * u)

    return lambda u, steps, weights: _gradients(loss, (u, steps, weights), (0,))


BUILDS: dict[str, Build] = {
    "chain": _loss(_chain, 0),
    "cross_entropy": _loss(speed_torch.cross_entropy, 0),
    "block": _loss(speed_torch.block, 0, 1, 2, 3, 4),
    "step": _step,
    "newton": _newton,
    "greeks": _greeks,
    "jacobian": _jacobian,
    "heat": _heat,
    "kmeans": _loss(_kmeans, 1),
    "gmm": _loss(_gmm, 0, 1, 2),
}


def version(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise AbsentError(f"torch {torch.__version__} finds no GPU")
    return torch.__version__


def prepare(key: str, args: tuple[Any, ...], device: str, compiled: bool) -> Way:
    """A call on tensors that are on the device."""
    if key not in BUILDS:
        raise AbsentError("no version of it")
    if compiled:
        torch.compiler.reset()
    function = BUILDS[key](torch.compile if compiled else lambda part: part)

    def tensor(x: Any) -> Any:
        return torch.from_numpy(x).to(device) if hasattr(x, "dtype") else x

    def host(result: Any) -> Any:
        return each(result, lambda x: x.detach().cpu().numpy())

    inputs = each(args, tensor)
    return Way(lambda: function(*inputs), host)


def free() -> None:
    torch.cuda.empty_cache()

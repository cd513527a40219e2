"""Train a 64-64-10 network on scikit-learn's digits to 97 % and more.

Softmax cross-entropy, plain SGD, parameters in a list of layers. The model is plain
NumPy; `gradjit.value_and_grad` turns it into one compiled function.

    python examples/digits.py [--epochs N] [--plot FILE]
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import gradjit

TARGET = 0.97


def forward(layers, images):
    h = images
    for weights, bias in layers[:-1]:
        h = np.maximum(h @ weights + bias, 0.0)
    weights, bias = layers[-1]
    return h @ weights + bias


def loss(layers, images, labels):
    scores = forward(layers, images)
    scores = scores - np.max(scores, axis=1, keepdims=True)
    log_total = np.log(np.sum(np.exp(scores), axis=1))
    return np.mean(log_total - scores[np.arange(len(labels)), labels])


def initial_layers(rng, widths):
    """He initialisation."""
    return [
        (rng.normal(size=(n, m)) * np.sqrt(2.0 / n), np.zeros(m))
        for n, m in itertools.pairwise(widths)
    ]


def accuracy(layers, images, labels):
    return np.mean(np.argmax(forward(layers, images), axis=1) == labels)


def split(rng):
    """Training and test images and labels, pixels between 0 and 1."""
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    images = digits.data[order] / 16.0
    labels = digits.target[order]
    cut = 1437  # four fifths
    return images[:cut], labels[:cut], images[cut:], labels[cut:]


def train(layers, images, labels, epochs, rate, batch, rng):
    """SGD; the trained layers, the loss of each step, the seconds of each step."""
    step = gradjit.value_and_grad(loss)
    losses, seconds = [], []
    for _ in tqdm(range(epochs), unit="epoch"):
        order = rng.permutation(len(labels))
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            began = time.perf_counter()
            value, d_layers = step(layers, images[chosen], labels[chosen])
            layers = [
                (weights - rate * d_weights, bias - rate * d_bias)
                for (weights, bias), (d_weights, d_bias) in zip(
                    layers, d_layers, strict=True
                )
            ]
            seconds.append(time.perf_counter() - began)
            losses.append(value)
    return layers, losses, seconds


def plot(losses, steps_per_epoch, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    epochs = np.arange(1, len(losses) + 1) / steps_per_epoch
    axes.plot(epochs, losses, linewidth=0.8)
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--plot", type=Path, default=Path("digits.png"))
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    images, labels, test_images, test_labels = split(rng)
    batch = 32
    layers, losses, seconds = train(
        initial_layers(rng, (64, 64, 10)),
        images,
        labels,
        options.epochs,
        rate=0.2,
        batch=batch,
        rng=rng,
    )
    reached = accuracy(layers, test_images, test_labels)
    print(f"loss {losses[0]:.3f} -> {np.mean(losses[-20:]):.4f}")
    print(f"first step, compilation included: {seconds[0]:.2f} s")
    print(f"later steps: {1e6 * np.median(seconds[1:]):.0f} us each")
    print(f"test accuracy: {100 * reached:.2f} % of {len(test_labels)} images")
    plot(losses, len(labels) // batch, options.plot)
    print(f"loss curve: {options.plot}")
    if options.epochs >= parser.get_default("epochs") and reached < TARGET:
        sys.exit(f"expected at least {100 * TARGET:.0f} %")


if __name__ == "__main__":
    main()

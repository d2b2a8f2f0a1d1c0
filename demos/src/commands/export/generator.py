"""A generator that `gan export` wrote, in PyTorch. Needs torch, safetensors and numpy.

`python3 generator.py` loads generator.safetensors beside it, compares its images with those in check.safetensors, and
writes 64 new ones into samples.npy: bytes (64, height, width, channels). In a program of your own:

    from generator import load
    generator = load("generator.safetensors")
    images = generator(torch.randn(64, generator.z_dim))  # (64, channels, height, width) in (-1, 1)

A conditional generator takes the classes, too, as a tensor of 64 whole numbers.
"""

from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class ConditionalNorm(nn.BatchNorm2d):
    """Batch norm with a gamma and a beta for each class."""

    def __init__(self, channels, classes):
        super().__init__(channels, affine=False)
        self.gamma = nn.Embedding(classes, channels)
        self.beta = nn.Embedding(classes, channels)

    def forward(self, x, classes):
        gamma, beta = self.gamma(classes), self.beta(classes)
        return super().forward(x) * gamma[:, :, None, None] + beta[:, :, None, None]


class Attention(nn.Module):
    """Self-attention whose keys f and values h are pooled by 2x2."""

    def __init__(self, channels, keys, values):
        super().__init__()
        self.g, self.f, self.h, self.v = (
            spectral_norm(nn.Conv2d(inputs, outputs, 1, bias=False))
            for inputs, outputs in [(channels, keys), (channels, keys), (channels, values), (values, channels)]
        )
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        pool = nn.functional.max_pool2d
        queries = self.g(x).flatten(2).transpose(1, 2)
        keys, values = pool(self.f(x), 2).flatten(2), pool(self.h(x), 2).flatten(2)
        weights = torch.softmax(queries @ keys, 2)
        mixed = (weights @ values.transpose(1, 2)).transpose(1, 2)
        return x + self.gamma * self.v(mixed.unflatten(2, x.shape[2:]))


class Generator(nn.Module):
    """The net that these tensors belong to: their names and shapes say which."""

    def __init__(self, tensors):
        super().__init__()

        def shape(name):
            plain = f"{name}.weight"
            return tensors[plain if plain in tensors else f"{name}.parametrizations.weight.original"].shape

        def layer(kind, name, *arguments):
            made = kind(*arguments, bias=f"{name}.bias" in tensors)
            return spectral_norm(made) if f"{name}.parametrizations.weight.original" in tensors else made

        def norm(name, channels):
            table = tensors.get(f"{name}.gamma.weight")
            return nn.BatchNorm2d(channels) if table is None else ConditionalNorm(channels, len(table))

        count = sum(name.startswith("b.") and name.endswith(".running_mean") for name in tensors)
        ups = [shape(f"d.{i}")[:2] for i in range(count)]
        outputs, self.z_dim = shape("l")
        self.side = round((outputs / ups[0][0]) ** 0.5)
        self.l = layer(nn.Linear, "l", self.z_dim, outputs)
        self.d = nn.ModuleList(layer(nn.ConvTranspose2d, f"d.{i}", *up, 4, 2, 1) for i, up in enumerate(ups))
        # With a last convolution o, a norm follows each layer d; without, it comes before.
        self.has_last = any(name.startswith("o.") for name in tensors)
        self.b = nn.ModuleList(norm(f"b.{i}", up[1 if self.has_last else 0]) for i, up in enumerate(ups))
        self.classes = len(tensors["b.0.gamma.weight"]) if "b.0.gamma.weight" in tensors else None
        if self.has_last:
            self.o = layer(nn.Conv2d, "o", *reversed(shape("o")[:2]), 3, 1, 1)
        self.attends = "a.gamma" in tensors
        if self.attends:
            self.a = Attention(shape("a.f")[1], shape("a.f")[0], shape("a.h")[0])

    def forward(self, z, classes=None):
        x = self.l(z).unflatten(1, (-1, self.side, self.side))
        for i, (up, norm) in enumerate(zip(self.d, self.b)):
            normed = (lambda y: norm(y)) if self.classes is None else (lambda y: norm(y, classes))
            x = torch.relu(normed(up(x))) if self.has_last else up(torch.relu(normed(x)))
            if self.attends and i == 1:
                x = self.a(x)
        return torch.tanh(self.o(x) if self.has_last else x)


def load(path):
    """The generator in this file, ready to make images."""
    tensors = load_file(path)
    generator = Generator(tensors)
    generator.load_state_dict(tensors)
    return generator.eval().requires_grad_(False)


if __name__ == "__main__":
    folder = Path(__file__).parent
    generator = load(folder / "generator.safetensors")
    check = load_file(folder / "check.safetensors")

    def sample(z):
        """Images of all classes in turn, if the generator knows classes."""
        return generator(z, None if generator.classes is None else torch.arange(len(z)) % generator.classes)

    difference = (sample(check["z"]) - check["images"]).abs().max().item()
    print(f"the images differ from those of gan by {difference:.1e} at most")
    images = ((sample(torch.randn(64, generator.z_dim)) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    numpy.save("samples.npy", images.numpy())
    print(f"samples.npy: {tuple(images.shape)}")

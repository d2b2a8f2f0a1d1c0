"""A generator that `gan export` wrote, in PyTorch. Needs torch, safetensors and numpy.

`python3 generator.py` builds the net that generator.json lists, loads its weights from generator.safetensors, compares
its images with those in check.safetensors, and writes 64 new ones into samples.npy: bytes (64, height, width,
channels). In a program of your own:

    from generator import load
    generator = load(".")
    images = generator(torch.randn(64, generator.z_dim))  # (64, channels, height, width) in (-1, 1)

A conditional generator takes the classes, too, as a tensor of 64 whole numbers.
"""

import json
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class ConditionalBatchNorm(nn.BatchNorm2d):
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
        queries = self.g(x).flatten(2).transpose(1, 2)
        keys, values = F.max_pool2d(self.f(x), 2).flatten(2), F.max_pool2d(self.h(x), 2).flatten(2)
        weights = torch.softmax(queries @ keys, 2)
        mixed = (weights @ values.transpose(1, 2)).transpose(1, 2)
        return x + self.gamma * self.v(mixed.unflatten(2, x.shape[2:]))


def convolution(module, inputs, outputs, kernel, stride, bias, **_):
    return module(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=bias)


# What makes the module of a layer that has parameters.
MODULES = {
    "dense": lambda inputs, outputs, bias, **_: nn.Linear(inputs, outputs, bias=bias),
    "conv": lambda **layer: convolution(nn.Conv2d, **layer),
    "deconv": lambda **layer: convolution(nn.ConvTranspose2d, **layer),
    "batch norm": lambda inputs, **_: nn.BatchNorm2d(inputs),
    "conditional batch norm": lambda inputs, classes, **_: ConditionalBatchNorm(inputs, classes),
    "attention": lambda inputs, keys, values, **_: Attention(inputs, keys, values),
}

# What the others do.
FUNCTIONS = {
    "relu": lambda x, layer: F.relu(x),
    "tanh": lambda x, layer: torch.tanh(x),
    "reshape": lambda x, layer: x.unflatten(1, layer["shape"]),
    "upsample": lambda x, layer: F.interpolate(x, scale_factor=layer["factor"]),
}


class Generator(nn.Module):
    """The layers of generator.json, one after another."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.z_dim, self.classes = layers, layers[0]["inputs"], None
        self.make(layers)

    def make(self, layers):
        """Makes the modules, each at the place that its name says: `d.0` is number 0 of `d`."""
        for layer in layers:
            for way in layer.get("ways", []):
                self.make(way)
            if layer["kind"] in MODULES:
                module = MODULES[layer["kind"]](**layer)
                module = spectral_norm(module) if layer.get("spectral norm") else module
                *path, last = layer["name"].split(".")
                parent = self
                for part in path:
                    if not hasattr(parent, part):
                        parent.add_module(part, nn.Module())
                    parent = getattr(parent, part)
                parent.add_module(last, module)
                self.classes = layer.get("classes", self.classes)

    def forward(self, z, classes=None):
        return self.run(self.layers, z, classes)

    def run(self, layers, x, classes):
        for layer in layers:
            kind = layer["kind"]
            if kind == "sum":
                x = sum(self.run(way, x, classes) for way in layer["ways"])
            elif kind in FUNCTIONS:
                x = FUNCTIONS[kind](x, layer)
            elif kind == "conditional batch norm":
                x = self.get_submodule(layer["name"])(x, classes)
            else:
                x = self.get_submodule(layer["name"])(x)
        return x


def load(folder):
    """The generator in this folder, ready to make images."""
    generator = Generator(json.loads((Path(folder) / "generator.json").read_text()))
    generator.load_state_dict(load_file(Path(folder) / "generator.safetensors"))
    return generator.eval().requires_grad_(False)


if __name__ == "__main__":
    folder = Path(__file__).parent
    generator = load(folder)
    check = load_file(folder / "check.safetensors")

    def sample(z):
        """Images of all classes in turn, if the generator knows classes."""
        return generator(z, None if generator.classes is None else torch.arange(len(z)) % generator.classes)

    difference = (sample(check["z"]) - check["images"]).abs().max().item()
    print(f"the images differ from those of gan by {difference:.1e} at most")
    images = ((sample(torch.randn(64, generator.z_dim)) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    numpy.save("samples.npy", images.numpy())
    print(f"samples.npy: {tuple(images.shape)}")

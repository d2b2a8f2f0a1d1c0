#!/usr/bin/env python3
"""The step of `gan bench step` in PyTorch: one update of an SNGAN's discriminator and one of its generator, on images of
32x32. On the first CUDA device, or on the processor where there is none. Prints one line of JSON."""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn.functional import leaky_relu, relu
from torch.nn.utils.parametrizations import spectral_norm

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--width", type=float, default=1.0, help="of the nets, 1 being the paper's")
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--iters", type=int, default=20)
parser.add_argument("--tf32", action="store_true", help="let products and convolutions round to TF32")
args = parser.parse_args()

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.backends.cuda.matmul.allow_tf32 = args.tf32
torch.backends.cudnn.allow_tf32 = args.tf32
torch.backends.cudnn.benchmark = True
torch.manual_seed(0)


def wide(channels):
    return max(1, round(channels * args.width))


class Discriminator(nn.Module):
    """Seven convolutions, 3x3 and 4x4 with stride 2 in turn, and a dense layer, all with spectral norm."""

    def __init__(self):
        super().__init__()
        sizes = [3] + [wide(c) for c in (64, 64, 128, 128, 256, 256, 512)]
        shapes = [(3, 1), (4, 2)] * 3 + [(3, 1)]
        convolution = lambda i, o, shape: spectral_norm(nn.Conv2d(i, o, shape[0], shape[1], padding=1))
        layers = zip(sizes, sizes[1:], shapes)
        self.convolutions = nn.ModuleList(convolution(i, o, shape) for i, o, shape in layers)
        self.dense = spectral_norm(nn.Linear(16 * sizes[-1], 1))

    def forward(self, x):
        for convolution in self.convolutions:
            x = leaky_relu(convolution(x), 0.1)
        return self.dense(x.flatten(1))


class Generator(nn.Module):
    """A dense layer, three transposed convolutions with batch norm, and a convolution to the colours."""

    def __init__(self):
        super().__init__()
        sizes = [wide(c) for c in (512, 256, 128, 64)]
        self.first = sizes[0]
        self.dense = nn.Linear(128, 16 * sizes[0])
        deconvolution = lambda i, o: nn.ConvTranspose2d(i, o, 4, 2, 1)
        self.deconvolutions = nn.ModuleList(deconvolution(i, o) for i, o in zip(sizes, sizes[1:]))
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in sizes[1:])
        self.last = nn.Conv2d(sizes[-1], 3, 3, 1, 1)

    def forward(self, z):
        x = self.dense(z).view(-1, self.first, 4, 4)
        for deconvolution, norm in zip(self.deconvolutions, self.norms):
            x = relu(norm(deconvolution(x)))
        return torch.tanh(self.last(x))


discriminator = Discriminator().to(device, memory_format=torch.channels_last)
generator = Generator().to(device, memory_format=torch.channels_last)
adam = lambda net: torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.0, 0.9))
of_discriminator, of_generator = adam(discriminator), adam(generator)
real = torch.rand(args.batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last) * 2 - 1


def noise():
    return torch.randn(args.batch, 128).to(device)


def step():
    with torch.no_grad():
        fake = generator(noise())
    values = discriminator(torch.cat([real, fake]))
    loss = relu(1 - values[: args.batch]).mean() + relu(1 + values[args.batch :]).mean()
    of_discriminator.zero_grad(set_to_none=True)
    loss.backward()
    of_discriminator.step()
    # The discriminator is frozen, as in the program: no gradient of its weights, no step of its power iteration.
    discriminator.requires_grad_(False).eval()
    of_generator.zero_grad(set_to_none=True)
    generator_loss = -discriminator(generator(noise())).mean()
    generator_loss.backward()
    of_generator.step()
    discriminator.requires_grad_(True).train()
    return loss.item(), generator_loss.item()


times = []
for i in range(args.iters + 3):
    start = time.perf_counter()
    step()
    if i >= 3:
        times.append((time.perf_counter() - start) * 1e3)
name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
report = {"device": name, "torch": torch.__version__, "width": args.width, "batch": args.batch, "tf32": args.tf32}
print(json.dumps(report | {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}))

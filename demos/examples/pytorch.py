"""The other half of pytorch.rs: loads net.safetensors, compares, trains, and writes from-torch.safetensors.

Needs torch and safetensors. Run it in the folder in which the example ran.
"""

import torch
from safetensors.torch import load_file, save_file
from torch import nn

net = nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(128, 2))
net.load_state_dict(load_file("net.safetensors"))
ours = load_file("output.safetensors")
net.eval()
with torch.no_grad():
    difference = (net(ours["x"]) - ours["y"]).abs().max().item()
print(f"the outputs differ by {difference:.1e} at most")
assert difference < 1e-5

net.train()
optimiser = torch.optim.Adam(net.parameters(), 1e-2)
for _ in range(20):
    optimiser.zero_grad()
    net(ours["x"]).square().mean().backward()
    optimiser.step()
net.eval()
with torch.no_grad():
    save_file({"x": ours["x"], "y": net(ours["x"])}, "torch-output.safetensors")
save_file(net.state_dict(), "from-torch.safetensors")
print("from-torch.safetensors: run the example again")

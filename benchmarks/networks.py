"""Backbones against torchvision's and torchxrayvision's: the same weights, the same images, the same logits.

    python benchmarks/networks.py parity --peer PYTHON [--sizes 224,224 160,160 192,256]
    python benchmarks/networks.py stored --peer PYTHON --ibn-net FOLDER

`parity`: the peer's python makes each network with random weights, draws the affine part of its norms, lets
it see random images in training mode so that its running statistics are those of its maps, and writes its
state dict and its logits to a file. The state dict is fitted into ours: for images of three channels, and for
one channel through the sum of the first convolution, where the peer sees the image three times. Printed are
the greatest absolute difference of the logits, the same in float64, how far the peer's own logits are from
those in float64, how large they are, and the parameters of both.
`stored`: writes tests/models/stored/torchvision.json: names, parameters and logits of torchvision's networks
and of those of github.com/XingangPan/IBN-Net, of which FOLDER is a copy.

`--peer` is the interpreter of an environment with torchvision and torchxrayvision. torchvision has no CPU
build of its compiled operators: where they are missing, two operator schemas are declared before it is
imported.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from labels import PEER_IMPORTS

from xrdatasets.models import Network, backbone
from xrdatasets.models.backbones.published_states import fit_state

STORED = Path(__file__).parents[1] / "tests" / "models" / "stored" / "torchvision.json"
NETWORKS = {
    "densenet121": "torchvision.models.densenet121(num_classes=18)",
    "densenet169": "torchvision.models.densenet169(num_classes=18)",
    "densenet201": "torchvision.models.densenet201(num_classes=18)",
    "resnet18": "torchvision.models.resnet18(num_classes=18)",
    "resnet50": "torchvision.models.resnet50(num_classes=18)",
}
XRV = {"densenet121": "xrv.models.DenseNet()"}
LOGITS = """
import copy, sys, torchvision
from torch import nn
_, BUILD, *SIZES, BATCH, OUT = sys.argv
torch.manual_seed(0)
model = eval(BUILD)
convolution = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
channels = convolution.in_channels
for module in model.modules():
    if isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.normal_(module.bias, std=0.2)
        module.momentum = None
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.bias)
with torch.no_grad():
    for _ in range(2):
        model(torch.randn(8, channels, 128, 128))
twin = copy.deepcopy(model.eval()).double()
results = []
with torch.inference_mode():
    for size in SIZES:
        images = torch.randn(int(BATCH), channels, *map(int, size.split(',')))
        grey = images[:, :1]
        colour = dict(images=images, logits=model(images), exact=twin(images.double()))
        repeated = grey.repeat(1, channels, 1, 1)
        one = dict(images=grey, logits=model(repeated), exact=twin(repeated.double()))
        results.append({channels: colour} | {1: one})
torch.save(dict(state=dict(model.state_dict()), results=results), OUT)
"""
REFERENCES = """
import hashlib, json, sys, zlib
import numpy as np, torchvision
from torch import nn
OUT = sys.argv[1]
sys.path.insert(0, sys.argv[2])
from ibnnet.densenet_ibn import DenseNet_IBN
from ibnnet.resnet_ibn import BasicBlock_IBN, Bottleneck_IBN, ResNet_IBN
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

def filled(name, tensor):
    shape = tuple(tensor.shape)
    wave = np.sin(1.7 * np.arange(tensor.numel()) + zlib.crc32(name.encode()) % 1000).reshape(shape)
    if name.endswith('num_batches_tracked'):
        return torch.zeros(())
    if len(shape) > 1:
        return torch.from_numpy(wave * np.sqrt(2 / np.prod(shape[1:])))
    scale, shift = {'weight': (0.2, 1), 'bias': (0.1, 0), 'running_mean': (0.1, 0), 'running_var': (0.5, 1)}[
        name.rpartition('.')[2]]
    return torch.from_numpy(scale * wave + shift)

def images(shape):
    return torch.from_numpy(np.sin(np.arange(np.prod(shape)) ** 1.5 / 50).reshape(shape))

def logits(model, x):
    if hasattr(model, 'features'):
        return model.classifier(torch.relu(model.features(x)).mean((2, 3)))
    model.avgpool = nn.AdaptiveAvgPool2d(1)  # IBN-Net's is of seven pixels
    return model(x)

def body(entries):
    return [(name, tensor) for name, tensor in entries if name.split('.')[0] not in ('fc', 'classifier')]

def names(model):
    entries = sorted((name, tuple(tensor.shape)) for name, tensor in body(model.state_dict().items()))
    lines = ''.join(f'{name} {shape}\\n' for name, shape in entries)
    parameters = sum(tensor.numel() for _, tensor in body(model.named_parameters()))
    sha256 = hashlib.sha256(lines.encode()).hexdigest()
    return dict(entries=len(entries), parameters=parameters, sha256=sha256)

V = torchvision.models
whole = dict(
    densenet121=V.densenet121(), densenet169=V.densenet169(), densenet201=V.densenet201(),
    resnet18=V.resnet18(), resnet50=V.resnet50(), denseibn121=DenseNet_IBN(),
    resnet18_ibn=ResNet_IBN(BasicBlock_IBN, [2, 2, 2, 2]),
    resnet50_ibn=ResNet_IBN(Bottleneck_IBN, [3, 4, 6, 3]),
)
tiny, few = dict(growth=4, stem=8, bn_size=2), dict(blocks=[2, 1, 1, 1])
sizes = dict(growth_rate=4, num_init_features=8, bn_size=2, num_classes=5)
layers, small = dict(layers=[2, 1, 1, 1], num_classes=5), (2, 3, 64, 50)
cases = [
    ('densenet121', {}, (1, 3, 64, 64), V.densenet121(num_classes=5)),
    ('densenet121', tiny | dict(blocks=[2, 3, 1]), (2, 3, 70, 53), DenseNet(block_config=(2, 3, 1), **sizes)),
    ('denseibn121', tiny | dict(blocks=[4, 2, 2, 2]), (2, 3, 64, 96),
     DenseNet_IBN(block_config=(4, 2, 2, 2), **sizes)),
    ('resnet18', few, small, ResNet(BasicBlock, **layers)),
    ('resnet50', few, small, ResNet(Bottleneck, **layers)),
    ('resnet18_ibn', few, small, ResNet_IBN(BasicBlock_IBN, **layers)),
    ('resnet50_ibn', few, small, ResNet_IBN(Bottleneck_IBN, **layers)),
]
made = []
for name, options, shape, model in cases:
    model.double().eval().load_state_dict({n: filled(n, v) for n, v in model.state_dict().items()})
    with torch.inference_mode():
        found = logits(model, images(shape)).tolist()
    made.append(json.dumps(dict(name=name, options=options, shape=shape, logits=found)))
lines = ',\\n  '.join(f'"{name}": {json.dumps(names(model))}' for name, model in whole.items())
with open(OUT, 'w') as file:
    file.write('{\\n "names": {\\n  ' + lines + '\\n },\\n "logits": [\\n  ')
    file.write(',\\n  '.join(made) + '\\n ]\\n}\\n')
"""


def peer(python: str, code: str, *arguments: str) -> None:
    """Run code in the peer's environment."""
    subprocess.run([python, "-c", PEER_IMPORTS + code, *arguments], check=True)


def compare(name: str, title: str, saved: dict, channels: int) -> None:
    """Both sides' logits on the same images."""
    state = saved["state"]
    ours = Network(backbone(name, channels=channels), 18)
    report = fit_state(ours.eval(), state)
    assert not report.missing, report
    theirs = sum(value.numel() for key, value in state.items() if is_parameter(key))
    count = sum(parameter.numel() for parameter in ours.parameters())
    exact = copy.deepcopy(ours).double()
    for result in saved["results"]:
        both = result[channels]
        images, logits = both["images"], both["logits"]
        with torch.inference_mode():
            difference = greatest(ours(images) - logits)
            in_double = greatest(exact(images.double()) - both["exact"])
        rounding = greatest(logits - both["exact"])
        shape = " x ".join(map(str, images.shape[1:]))
        line = f"{name:12} {title:28} {shape:>13} {difference:>10.1e} {in_double:>10.1e} {rounding:>10.1e}"
        print(f"{line} {greatest(logits):>8.2f} {count:>11,} {theirs:>11,}", flush=True)


def greatest(values: torch.Tensor) -> float:
    return values.abs().max().item()


def is_parameter(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def parity(options: argparse.Namespace) -> None:
    print(f"{'network':12} {'against':28} {'image':>13} {'difference':>10} {'in float64':>10}", end="")
    print(f" {'rounding':>10} {'greatest':>8} {'parameters':>11} {'theirs':>11}")
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "peer.pt")
        for networks in (NETWORKS, XRV):
            for name, build in networks.items():
                peer(options.peer, LOGITS, build, *options.sizes, str(options.batch), out)
                saved = torch.load(out, weights_only=True)
                if networks is XRV:
                    compare(name, "torchxrayvision", saved, 1)
                else:
                    compare(name, "torchvision", saved, 3)
                    compare(name, "torchvision, channels summed", saved, 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("parity", help="compare logits")
    command.set_defaults(run=parity)
    command.add_argument("--peer", required=True, help="python with torchvision and torchxrayvision")
    command.add_argument("--sizes", nargs="+", default=["224,224", "160,160", "192,256"], metavar="H,W")
    command.add_argument("--batch", type=int, default=2)
    command = commands.add_parser("stored", help="write the tests' reference numbers")
    command.set_defaults(run=lambda told: peer(told.peer, REFERENCES, str(STORED), told.ibn_net))
    command.add_argument("--peer", required=True, help="python with torchvision and torchxrayvision")
    command.add_argument("--ibn-net", required=True, metavar="FOLDER", help="copy of XingangPan/IBN-Net")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    sys.exit(main())

"""Transforms of batches against torchxrayvision's of single images: images per second of CPU time, one core.

    python benchmarks/transforms.py [--peer PYTHON] [--rounds N]

Every figure is measured in a process of its own, ours and the peer's by turns; printed are medians over the
rounds, and ratios to what torchxrayvision's training does: each image to pillow, torchvision's RandomAffine
(45 degrees, 15 %, 15 %; the nearest pixel, its default), and back to a tensor. The same with linear
interpolation, which is what ours does, stands beside it. `--peer` is the interpreter of an environment with
torchxrayvision; without it only our figures are printed. torchvision has no CPU build of its compiled
operators: where they are missing, two operator schemas are declared before it is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

from labels import PEER_IMPORTS

TIMING = """
import json, time
import numpy as np
import torch
torch.set_num_threads(1)
arrays = np.random.default_rng(0).uniform(-1024, 1024, ({batch}, 1, {size}, {size})).astype(np.float32)

def rate(function):
    function()
    seconds = []
    for _ in range({repeats}):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return {batch} / min(seconds)
"""
OURS = """
from xrdatasets import transforms as T
images = torch.from_numpy(arrays)
cases = {
    "affine (cohen_view)": T.cohen_view(),
    "weak_view": T.weak_view(),
    "strong_view": T.strong_view(),
    "RandomHorizontalFlip": T.RandomHorizontalFlip(),
    "ToneJitter": T.ToneJitter(0.5, 0.5, (0.5, 2.0)),
    "GaussianNoise": T.GaussianNoise(),
    "GaussianBlur (sigma 1)": T.GaussianBlur(1.0),
    "RandomErasing (always)": T.RandomErasing(p=1.0),
    "RandomResizedCrop": T.RandomResizedCrop(images.shape[-1]),
}
generator = torch.Generator()
print(json.dumps({
    name: rate(lambda: change(images, generator=generator.manual_seed(0))) for name, change in cases.items()
}))
"""
PEER = (
    PEER_IMPORTS
    + """
from torchvision import transforms as V

def affine(mode):
    return V.RandomAffine(45, translate=(0.15, 0.15), scale=(0.85, 1.15), interpolation=mode)

modes = V.InterpolationMode
as_trained = V.Compose([xrv.datasets.ToPILImage(), affine(modes.NEAREST), V.ToTensor()])
linear = V.Compose([xrv.datasets.ToPILImage(), affine(modes.BILINEAR), V.ToTensor()])
tensors = [torch.from_numpy(array) for array in arrays]
on_tensors = affine(modes.BILINEAR)
print(json.dumps({
    "peer: affine, nearest, pillow": rate(lambda: [as_trained(array) for array in arrays]),
    "peer: affine, linear, pillow": rate(lambda: [linear(array) for array in arrays]),
    "peer: affine, linear, tensors": rate(lambda: [on_tensors(tensor) for tensor in tensors]),
}))
"""
)
BASES = {"to nearest": "peer: affine, nearest, pillow", "to linear": "peer: affine, linear, pillow"}


def measured(python: str, code: str, options: argparse.Namespace) -> dict[str, float]:
    """Images per second of each case, from a fresh process."""
    timing = TIMING.format(batch=options.batch, size=options.size, repeats=options.repeats)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, "-c", timing + code], env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", help="interpreter of an environment with torchxrayvision")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5, help="calls in a process, of which the best counts")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side, of which the median")
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        rates = measured(sys.executable, OURS, options)
        if options.peer:
            rates |= measured(options.peer, PEER, options)
        rounds.append(rates)
    names = BASES if options.peer else {}
    print(f"{options.batch} images of {options.size} x {options.size}, medians of {options.rounds} rounds")
    print(f"  {'':<34} {'images/s':>9}" + "".join(f" {name:>11}" for name in names))
    for case in rounds[0]:
        ratios = [statistics.median(rates[case] / rates[base] for rates in rounds) for base in names.values()]
        rate = statistics.median(rates[case] for rates in rounds)
        print(f"  {case:<34} {rate:>9,.0f}" + "".join(f" {ratio:>10.2f}x" for ratio in ratios))


if __name__ == "__main__":
    main()

"""What the pieces of luo2020 add to a training step on a GPU, and images a second, by precision.

    python benchmarks/gpu_training.py [--backbone NAME] [--size S] [--batch B] [--rounds N] [--device cuda]

The steps are those of benchmarks/training.py, on one batch that lies on the device, timed until the device is
done. Printed are milliseconds of the median step, its ratio to the plain one, and images a second; for
float32 (TF32), bfloat16 and float16, and the memory that the largest took. In float16 the loss is not scaled,
as it is in a training: the steps cost the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

import training

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def timed(task, batch, number: int, dtype: torch.dtype | None, device: str) -> float:
    """Seconds of one step."""
    begin = time.perf_counter()
    kind = device.partition(":")[0]
    with torch.autocast(kind, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        task.training_step(batch, number)
    if kind == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="denseibn121")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=16, help="images of each of two datasets")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    device, cuda = arguments.device, arguments.device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        sys.exit("no GPU is here; --device cpu runs the same steps on the processor")
    training.BATCH = arguments.batch
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    batch = training.batch_of(arguments.size, device)
    print(torch.cuda.get_device_name(device) if cuda else "processor", f"torch {torch.__version__}")
    print(f"{arguments.backbone} at {arguments.size} pixels, {arguments.batch} + {arguments.batch} images")
    for precision, dtype in PRECISIONS.items():
        if dtype is torch.float16 and not cuda:
            continue
        tasks = {
            name: training.on_its_own(training.recipe_of(arguments, changes), device)
            for name, changes in training.WAYS.items()
        }
        for task in tasks.values():
            for number in range(3):
                timed(task, batch, number, dtype, device)
        seconds: dict[str, list[float]] = {name: [] for name in tasks}
        for turn in range(arguments.rounds):
            for name in list(tasks)[:: 1 if turn % 2 == 0 else -1]:
                seconds[name].append(timed(tasks[name], batch, turn + 3, dtype, device))
        plain = next(iter(seconds.values()))
        for name, values in seconds.items():
            ratio = statistics.median(value / one for value, one in zip(values, plain, strict=True))
            middle = statistics.median(values)
            print(
                f"  {precision:<9} {name:<29} {1000 * middle:8.2f} ms  {ratio:.3f}"
                f"  {2 * arguments.batch / middle:8.1f} images/s"
            )
    if cuda:
        print(f"most memory: {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()

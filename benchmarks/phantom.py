"""How fast the Phantom is drawn, how hard its findings are, and how unlike its hospitals.

``python benchmarks/phantom.py speed``: images per second and core, for each hospital and size, against the
goal of 100 at 224 pixels; and what each sign costs.

``python benchmarks/phantom.py learn``: a small network (`xrdatasets.models.Mini` of width 8, 76,000
parameters) is trained on 4,000 images of each hospital with the full truth, and tested on other patients of
all hospitals: AUC of each finding, and the means as a table of hospitals. Another one is trained to tell the
hospitals.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
GOAL = 100  # images per second and core at 224 pixels
ROUNDS = 3


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "learn"])
    parser.add_argument("--size", type=int, default=128, help="pixels, for learn (default 128)")
    parser.add_argument("--train", type=int, default=4000, help="images to learn from (default 4000)")
    parser.add_argument("--test", type=int, default=2000, help="images to test on (default 2000)")
    parser.add_argument("--epochs", type=int, default=12, help="default 12")
    parser.add_argument("--width", type=int, default=8, help="channels of the first convolution (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the network (default 0)")
    parser.add_argument("--hospitals", default="ABC", help="to learn from (default ABC)")
    given = parser.parse_args()
    if given.what == "speed":
        speed()
    else:
        learn(given)


def speed() -> None:
    """CPU time of one thread per image."""
    for name in THREADS:
        os.environ[name] = "1"
    import xrdatasets as xr
    from xrdatasets.phantom import HOSPITALS, SIGNS, Case, radiograph

    print(f"{'':>12}{'images/s':>10}{'ms':>8}{'of the goal':>13}")
    for size, count in ((64, 200), (128, 200), (224, 200), (512, 40)):
        for key in HOSPITALS:
            dataset = xr.Phantom(count, key, size=size)
            took = least(lambda dataset=dataset: [dataset[row] for row in range(len(dataset))]) / count
            goal = f"{1 / took / GOAL:12.2f}x" if size == 224 else ""
            print(f"{key} {size:>4} px   {1 / took:>10.0f}{took * 1e3:>8.2f}{goal:>13}")
    print("\nwhat each sign adds at 224 pixels, in ms (mean of severities 0.2 and 0.8)")
    plain = sign_cost(Case, radiograph, HOSPITALS["A"].detector, {})
    print(f"{'(none)':<28}{plain:7.2f}")
    for sign in SIGNS:
        costs = [sign_cost(Case, radiograph, HOSPITALS["A"].detector, {sign: grade}) for grade in (0.2, 0.8)]
        print(f"{sign:<28}{sum(costs) / 2 - plain:+7.2f}")


def sign_cost(case, radiograph, detector, grades, count=20):
    """Milliseconds of an image with these signs."""
    cases = [
        case(7919 * i + 5, 104729 * i + 1, i % 2 == 0, 30.0 + 2 * i, i % 3 == 2, grades) for i in range(count)
    ]
    return least(lambda: [radiograph(each, detector, 224) for each in cases]) / count * 1e3


def least(work) -> float:
    """CPU seconds of the fastest round; the first warms the caches."""
    work()
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def learn(given: argparse.Namespace) -> None:
    """Train on each hospital, test on all."""
    import numpy as np
    import torch

    import xrdatasets as xr
    from xrdatasets.evaluation import auc
    from xrdatasets.models import Mini, Network
    from xrdatasets.training import fit, predict_scores

    def images(dataset: xr.Phantom) -> torch.Tensor:
        batches = xr.loader(dataset, batch_size=256, workers=2)
        # the grey values that were drawn: 0 to 255
        return torch.cat([((batch["img"] + 1024) * (255 / 2048)).round().byte() for batch in batches])

    def trained(pixels: torch.Tensor, targets: torch.Tensor) -> Network:
        torch.manual_seed(given.seed)
        model = Network(Mini(width=given.width), targets.shape[1])
        fit(model, pixels, targets, epochs=given.epochs, batch_size=32, seed=given.seed, augment=mirrored)
        return model

    def mirrored(batch: torch.Tensor) -> torch.Tensor:
        return batch.flip(3) if torch.rand(()) < 0.5 else batch

    began = time.monotonic()
    # other seeds are other patients
    train = {key: xr.Phantom(given.train, key, seed=0, size=given.size) for key in "ABC"}
    test = {key: xr.Phantom(given.test, key, seed=1, size=given.size) for key in "ABC"}
    train_images, test_images = ({key: images(ds) for key, ds in part.items()} for part in (train, test))
    print(f"drawn in {time.monotonic() - began:.0f} s", flush=True)

    own, means = {}, {}
    for key in given.hospitals:
        model = trained(train_images[key], torch.tensor(train[key].truth))
        areas = {
            other: np.asarray(auc(test[other].truth, predict_scores(model, test_images[other]).numpy()))
            for other in test
        }
        own[key], means[key] = areas[key], {other: float(area.mean()) for other, area in areas.items()}
        print(f"trained on {key}: {means[key]}, after {time.monotonic() - began:.0f} s", flush=True)
    report(train["A"].pathologies, own, means)
    hospitals(train_images, test_images, trained, predict_scores, auc)


def report(labels: Sequence[str], own, means) -> None:
    """AUC of each finding on other patients of the same hospital; means for all pairs of hospitals."""
    print(f"\n| finding | {' | '.join(own)} |\n| --- |{' --- |' * len(own)}")
    for row, label in enumerate(labels):
        print(f"| {label} | {' | '.join(f'{area[row]:.3f}' for area in own.values())} |")
    print("| lowest | " + " | ".join(f"{area.min():.3f}" for area in own.values()) + " |")
    print("| highest | " + " | ".join(f"{area.max():.3f}" for area in own.values()) + " |")
    print("\n| trained on | tested on A | B | C |\n| --- | --- | --- | --- |")
    for key, areas in means.items():
        print(f"| {key} | {' | '.join(f'{area:.3f}' for area in areas.values())} |")


def hospitals(train, test, trained, predict_scores, auc) -> None:
    """AUC of telling each hospital from the others."""
    import torch

    def joined(parts):
        # a quarter of the images is more than enough
        chosen = [part[: len(part) // 4] for part in parts.values()]
        marks = torch.cat([torch.eye(3)[number].expand(len(part), 3) for number, part in enumerate(chosen)])
        return torch.cat(chosen), marks

    pixels, marks = joined(train)
    unseen, truth = joined(test)
    areas = auc(truth.numpy(), predict_scores(trained(pixels, marks), unseen).numpy())
    print(
        "\nwhich hospital, AUC: "
        + ", ".join(f"{key} {area:.4f}" for key, area in zip(train, areas, strict=True))
    )


if __name__ == "__main__":
    main()

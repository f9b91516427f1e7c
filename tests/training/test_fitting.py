"""The plain loop: it learns, it is the same each time, and it leaves the caller's things as they were."""

from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from xrdatasets.evaluation import auc
from xrdatasets.images import RawImage, normalize
from xrdatasets.models import Mini, Network
from xrdatasets.training import fit, masked_bce_with_logits, predict_scores


@pytest.fixture(autouse=True)
def _one_thread():
    """Tensors this small are slower on several threads, and far slower where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def squares(count=120, size=24, seed=0):
    """Grey noise; finding 0 is a bright half, finding 1 a small bright square; a quarter is unknown."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(80, 140, (count, 1, size, size), generator=generator, dtype=torch.uint8)
    truth = torch.randint(0, 2, (count, 2), generator=generator).float()
    images[truth[:, 0] == 1, :, : size // 2] += 30
    rows, columns = torch.randint(2, size - 5, (2, count), generator=generator)
    for image, row, column, there in zip(images, rows, columns, truth[:, 1], strict=True):
        image[:, row : row + 3, column : column + 3] += 75 * there.byte()
    targets = truth.masked_fill(torch.rand(truth.shape, generator=generator) < 0.25, torch.nan)
    return images, targets, truth


def network(seed=0, **options):
    torch.manual_seed(seed)
    return Network(Mini(**({"width": 4} | options)), 2)


class Line(nn.Module):
    """The smallest network; `drop` leaves it to chance."""

    def __init__(self, *, drop=0.0):
        super().__init__()
        self.drop, self.layer = nn.Dropout(drop), nn.Linear(1, 2)

    def forward(self, images):
        return self.layer(self.drop(images.mean((2, 3)) / 1024))


def weights_after(model, *args, **options):
    fit(model, *args, **options)
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


def test_it_learns_both_findings_from_partial_labels():
    images, targets, _ = squares(400, size=20)
    test_images, _, truth = squares(200, size=20, seed=1)
    model = network()
    losses = fit(model, images, targets, epochs=8, batch_size=32, learning_rate=1e-2)
    assert len(losses) == 8
    assert losses[-1] < 0.4 < losses[0]
    assert (auc(truth, predict_scores(model, test_images)) > 0.9).all()


def test_the_same_seed_gives_the_same_bits():
    images, targets, _ = squares()

    def run(seed):
        return weights_after(network(), images, targets, epochs=2, batch_size=50, seed=seed)

    first = run(3)
    torch.rand(7)  # whatever was drawn before
    assert torch.equal(first, run(3))
    assert not torch.equal(first, run(4))


def test_chance_in_the_model_and_in_augment_follows_the_seed():
    images, targets, _ = squares(30)

    def run(seed):
        torch.manual_seed(0)
        return weights_after(
            Line(drop=0.5), images, targets, epochs=2, seed=seed, augment=lambda batch: batch + torch.randn(1)
        )

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_the_global_generators_are_left_alone():
    images, targets, _ = squares(30)
    model = Line(drop=0.5)
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(model, images, targets, epochs=1)
    predict_scores(model, images)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002


def test_they_are_left_alone_after_an_error_too():
    images, targets, _ = squares(30)
    model = Line()
    before = torch.get_rng_state()

    def fail(batch):
        torch.rand(1)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fit(model.eval(), images, targets, epochs=1, augment=fail)
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training


@pytest.mark.parametrize("mode", [True, False])
def test_each_part_of_the_model_keeps_its_mode(mode):
    images, targets, _ = squares(20)
    model = network()
    model.train(mode)
    model.backbone.stem.eval()
    before = [module.training for module in model.modules()]
    seen = []

    def note(batch):
        seen.append({module.training for module in model.modules()})
        return batch

    fit(model, images, targets, epochs=1, augment=note)
    predict_scores(model, images)
    assert [module.training for module in model.modules()] == before
    assert seen == [{True}]


def test_bytes_are_what_normalize_makes_of_them():
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = torch.from_numpy(normalize(RawImage(images[0, 0].numpy(), 255)))[None]
    seen = []
    fit(Line(), images, torch.ones(1, 2), epochs=1, augment=lambda batch: seen.append(batch.clone()) or batch)
    assert torch.equal(seen[0], floats)
    model = network()
    assert torch.equal(predict_scores(model, images), predict_scores(model, floats))


def test_images_and_targets_are_left_as_they_are():
    images, targets, _ = squares(20)
    for given in (images, images.float()):
        before = [given.clone(), targets.clone()]
        fit(
            Line(),
            given,
            targets,
            epochs=1,
            augment=lambda batch: batch.mul_(2) if batch.mean() > 0 else batch,
        )
        assert torch.equal(given, before[0])
        torch.testing.assert_close(targets, before[1], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("count", "size", "want"), [(120, 50, [40] * 3), (65, 64, [33, 32]), (3, 64, [3]), (3, 1, [1] * 3)]
)
def test_every_image_is_seen_once_an_epoch_in_even_batches(count, size, want):
    images = torch.arange(count).float().reshape(-1, 1, 1, 1)
    batches = []
    fit(
        Line(), images, torch.zeros(count, 2), epochs=2, batch_size=size,
        augment=lambda batch: batches.append(batch.flatten().tolist()) or batch,
    )  # fmt: skip
    assert [len(batch) for batch in batches] == want * 2
    steps = len(want)
    epochs = [list(chain(*batches[:steps])), list(chain(*batches[steps:]))]
    assert [sorted(epoch) for epoch in epochs] == [list(range(count))] * 2
    assert count == 3 or epochs[0] != epochs[1]


def test_the_loss_is_the_mean_over_known_targets():
    images, targets, _ = squares(50)
    model = Line()
    want = masked_bce_with_logits(model(images.float() * 2048 / 255 - 1024), targets).item()
    # so small a rate that the network stands still
    losses = fit(model, images, targets, epochs=2, batch_size=7, learning_rate=1e-12)
    assert losses == pytest.approx([want, want], rel=1e-5)


def test_progress_hears_of_every_epoch():
    images, targets, _ = squares(20)
    heard = []
    losses = fit(Line(), images, targets, epochs=3, progress=lambda epoch, loss: heard.append((epoch, loss)))
    assert heard == list(enumerate(losses, start=1))


def test_a_batch_without_known_targets_and_a_single_step_are_fine():
    images = torch.zeros(4, 1, 16, 16)
    targets = torch.tensor([[torch.nan, torch.nan]] * 3 + [[1.0, torch.nan]])
    (loss,) = fit(Line(), images, targets, epochs=1, batch_size=1)
    assert 0 < loss < 5
    assert len(fit(Line(), images, targets, epochs=1)) == 1


def test_frozen_weights_stay():
    images, targets, _ = squares(20)
    model = network()
    model.backbone.stem.requires_grad_(False)
    before = model.backbone.stem[0].weight.clone()
    fit(model, images, targets, epochs=1)
    assert torch.equal(model.backbone.stem[0].weight, before)


def test_scores_are_probabilities_in_the_order_of_the_images():
    images, _, _ = squares(21)
    model = network().eval()
    with torch.inference_mode():
        want = model(images.float() * 2048 / 255 - 1024).sigmoid()
    for size in (1, 4, 256):
        scores = predict_scores(model, images, size)
        assert (scores.shape, scores.dtype, scores.device.type) == ((21, 2), torch.float32, "cpu")
        assert not scores.requires_grad
        torch.testing.assert_close(scores, want, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_model_s_gpu_is_used_and_its_generator_left_alone():
    images, targets, _ = squares(400)
    model, before = network(width=8).cuda(), torch.cuda.get_rng_state()
    losses = fit(
        model, images, targets, epochs=8, batch_size=32, augment=lambda batch: batch + torch.randn_like(batch)
    )
    assert losses[-1] < 0.4
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert predict_scores(model, images.cuda()).device.type == "cpu"


GOOD = {"model": Line(), "images": torch.zeros(3, 1, 8, 8), "targets": torch.zeros(3, 2)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": nn.Flatten()}, "model: expected a torch module with parameters, got Flatten"),
        ({"model": abs}, "model: expected a torch module with parameters, got builtin_function_or_method"),
        ({"images": torch.zeros(3, 8, 8)}, r"images: expected the shape \(N, 1, H, W\), .*, got \(3, 8, 8\)"),
        ({"images": torch.zeros(3, 3, 8, 8)}, r"images: expected the shape .*, got \(3, 3, 8, 8\)"),
        ({"images": torch.zeros(0, 1, 8, 8)}, r"images: expected the shape .*, got \(0, 1, 8, 8\)"),
        (
            {"images": torch.zeros(3, 1, 8, 8).double()},
            r"images: expected uint8 or float32, got torch\.float64",
        ),
        ({"images": np.zeros((3, 1, 8, 8), np.float32)}, "images: expected uint8 or float32, got float32"),
    ],
)
def test_wrong_models_and_images_are_named(changes, message):
    arguments = GOOD | changes
    with pytest.raises(ValueError, match=message):
        fit(**arguments, epochs=1)
    del arguments["targets"]
    with pytest.raises(ValueError, match=message):
        predict_scores(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": torch.zeros(2, 2)}, "targets: expected 3 rows, one for each image, got 2"),
        ({"targets": torch.zeros(3)}, r"targets: expected a real tensor of shape \(N, L\), got .*\(3,\)"),
        ({"targets": torch.full((3, 2), -1.0)}, "targets: expected values in .* -1 is the code of uncertain"),
        ({"targets": torch.full((3, 2), torch.nan)}, "targets: expected a known one, got none"),
        (
            {"targets": torch.zeros(3, 5)},
            r"targets: expected the shape of the logits, \(3, 2\), got .*\(3, 5\)",
        ),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"batch_size": 1.5}, "batch_size: expected a whole number of at least 1, got 1.5"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"learning_rate": 0}, "learning_rate: expected a finite number above 0, got 0"),
        ({"learning_rate": "fast"}, "learning_rate: expected a finite number above 0, got 'fast'"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a finite number above 0, got nan"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        fit(**(GOOD | {"epochs": 1} | changes))


def test_a_wrong_batch_size_of_scores_is_named():
    with pytest.raises(ValueError, match="batch_size: expected a whole number of at least 1, got 0"):
        predict_scores(Line(), torch.zeros(1, 1, 8, 8), 0)

"""An interrupted training goes on to the same end, to the bit."""

import signal

import lightning.pytorch as pl
import pytest
import torch

from tests.training.small import hospitals, recipe
from xrdatasets.training.run import train


class Stop(pl.Callback):
    """Interrupts in the middle of an epoch, as Ctrl-C does."""

    def __init__(self, epoch, batch=1):
        self.epoch, self.batch = epoch, batch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            raise KeyboardInterrupt


def go(out, chosen, **options):
    return train(chosen, hospitals(), out, workers=0, accelerator="cpu", **options)


def last(out):
    return torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("luo2020", {"epochs": 4, "batches__view": "flip"}),
        ("assemble2023", {"epochs": 4, "assemble__warm_up": 1, "optimiser__patience": 0}),
    ],
)
def test_weights_and_ensemble_are_the_same(tmp_path, name, changes):
    chosen = recipe(name, **changes)
    go(tmp_path / "whole", chosen)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", chosen, callbacks=[Stop(2)])
    assert not (tmp_path / "cut" / "classifier.safetensors").exists()
    assert last(tmp_path / "cut")["epoch"] == 1
    done = go(tmp_path / "cut", chosen, resume=True)
    assert done.epochs == 4
    whole, cut = last(tmp_path / "whole"), last(tmp_path / "cut")
    for key, value in whole["state_dict"].items():
        torch.testing.assert_close(cut["state_dict"][key], value, rtol=0, atol=0)
    theirs, ours = whole["partial_labels"], cut["partial_labels"]
    if name == "luo2020":
        assert int(ours["ensemble"]["visits"].max()) == 4
        for key in ("means", "visits"):
            torch.testing.assert_close(ours["ensemble"][key], theirs["ensemble"][key], rtol=0, atol=0)
    assert {key: ours[key] for key in ("plateau", "stopping", "fall")} == {
        key: theirs[key] for key in ("plateau", "stopping", "fall")
    }
    texts = [(tmp_path / each / "metrics.csv").read_text() for each in ("whole", "cut")]
    tables = [[row.split(",")[:2] + row.split(",")[3:] for row in text.splitlines()] for text in texts]
    assert tables[0] == tables[1]  # but for the seconds


def test_an_interrupt_in_the_first_epoch_begins_anew(tmp_path):
    chosen, handler = recipe("baseline", epochs=1), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "run", chosen, callbacks=[Stop(0)])
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "run" / "checkpoints").exists()
    with pytest.raises(ValueError, match=r"a training that was interrupted\. Pass resume=True"):
        go(tmp_path / "run", chosen)
    assert go(tmp_path / "run", chosen, resume=True).epochs == 1


def test_another_recipe_does_not_go_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "run", recipe("baseline"), callbacks=[Stop(1)])
    with pytest.raises(ValueError, match="has another recipe: seed was 0, is 1"):
        go(tmp_path / "run", recipe("baseline", seed=1), resume=True)


def test_an_error_leaves_nothing_half_written(tmp_path):
    class Fails(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        go(tmp_path / "run", recipe("baseline"), callbacks=[Fails()])
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert left == {"recipe.toml", "provenance.json"}

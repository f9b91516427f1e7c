"""Two processes on this machine train together, and keep one ensemble."""

import lightning.pytorch as pl
import pytest
import torch

from tests.training.small import hospitals, recipe
from xrdatasets.training.run import train


class Write(pl.Callback):
    """Each process writes what it has at the end."""

    def __init__(self, folder):
        self.folder = str(folder)

    def on_train_end(self, trainer, pl_module):
        state = {
            "network": pl_module.network.state_dict(),
            "discriminators": pl_module.discriminators.state_dict(),
            "ensemble": pl_module.ensemble.state_dict(),
            "aucs": torch.as_tensor(pl_module.aucs),
            "score": pl_module.score,
        }
        torch.save(state, f"{self.folder}/{trainer.global_rank}.pt")


def test_both_have_the_same_weights_ensemble_and_figures(tmp_path):
    chosen = recipe(epochs=2, batches__size=2, batches__accumulate=2, optimiser__clip=1.0)
    done = train(
        chosen, hospitals(), tmp_path / "run", workers=0, devices=2, accelerator="cpu",
        callbacks=[Write(tmp_path)],
    )  # fmt: skip
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for part in ("network", "discriminators"):
        for name, value in first[part].items():
            if "running" not in name and "num_batches" not in name:  # of each process's own batches
                torch.testing.assert_close(second[part][name], value, rtol=0, atol=0)
    for name in ("means", "visits"):
        torch.testing.assert_close(second["ensemble"][name], first["ensemble"][name], rtol=0, atol=0)
    torch.testing.assert_close(second["aucs"], first["aucs"], equal_nan=True)
    # each pass over the largest dataset visits all of its images, in whichever process
    largest = done.classifier.card.provenance["data"][0]["train"]
    assert first["ensemble"]["visits"][:largest].tolist() == [2] * largest
    assert done.epochs == 2
    assert done.score == pytest.approx(first["score"])

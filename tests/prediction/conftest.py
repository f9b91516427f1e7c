from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from xrdatasets.labels import LabelSpace
from xrdatasets.models import Classifier, InputSpec, Network, backbone

FINDINGS = ("Atelectasis", "Effusion", "Nodule")
SIZE = 32


def make_classifier(seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(backbone("mini", width=4), len(FINDINGS))
    return Classifier(network, LabelSpace("tiny", FINDINGS), inputs=InputSpec(size=SIZE), **options)


def write_png(path, seed=0, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(path, "PNG")
    return path


@pytest.fixture
def classifier():
    return make_classifier()


@pytest.fixture
def films(tmp_path):
    """A folder with seven images in four formats, and files that are none."""
    from tests.fakes import write_dicom

    folder = tmp_path / "films"
    for number in (1, 2, 10):
        write_png(folder / f"film{number}.png", number)
    write_dicom(folder / "ward" / "IM000001", seed=4)
    grey = Image.fromarray(np.random.default_rng(5).integers(0, 256, (50, 60), np.uint8))
    grey.save(folder / "ward" / "a.jpg")
    grey.save(folder / "ward" / "b.tif")
    grey.save(folder / "ward" / "c.bmp")
    (folder / "notes.txt").write_text("film1.png is upside down\n")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "empty.png").write_bytes(b"")
    return folder

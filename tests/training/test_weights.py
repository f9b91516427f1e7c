"""Weights of findings: the papers' worked examples, and what counts on which side."""

import numpy as np
import pytest
import torch

import xrdatasets as xr
from tests import fakes
from xrdatasets.labels import LabelSpace
from xrdatasets.training.weights import (
    label_sets,
    positive_weights,
    task_weights_cohen,
    task_weights_luo,
)

NAN = torch.nan


def test_positive_weights_are_negatives_per_positive():
    """L2."""
    targets = torch.tensor([[1, 0, NAN], [0, 0, NAN], [0, NAN, 1], [1, NAN, 0], [0, 0, 0]])
    weights = positive_weights(targets)
    assert weights.tolist() == [1.5, 1.0, 2.0]  # no positive: 1
    assert weights.dtype == torch.float32
    assert positive_weights(1 - targets)[1] == 1.0  # no negative: 1
    assert positive_weights(torch.full((3, 2), NAN)).tolist() == [1.0, 1.0]
    assert positive_weights(torch.zeros(0, 2)).tolist() == [1.0, 1.0]


def test_positive_weight_of_atelectasis_in_nih_and_chexpert():
    """L2: positives of NIH's table and of CheXpert's, with the uncertain ones, of so many images."""
    positive, images = 11_559 + 33_376 + 33_739, 112_120 + 223_414
    targets = (torch.arange(images) < positive).float()[:, None]
    assert positive_weights(targets).item() == pytest.approx(3.2648651397, rel=1e-7)


def test_soft_targets_are_positive_from_one_half_on():
    assert positive_weights(torch.tensor([[0.5], [0.55], [0.49], [0.3], [0.0]])).tolist() == [1.5]


def of_counts(positive, *, rows, labelled=None):
    """Targets with so many positives in each column."""
    targets = (torch.arange(rows)[:, None] < torch.tensor(positive)).float()
    return targets if labelled is None else targets.masked_fill(~torch.tensor(labelled), NAN)


# positives of NIH in Cohen 2020, Table A.1, in the order of xrv18; None: not labelled
NIH = (1702, 427, 3604, 269, 82, 265, 571, 1280, 168, 763, 767, 1661, 1280, 83, None, None, None, None)


def test_task_weights_are_those_of_the_paper():
    """C1."""
    targets = of_counts([count or 0 for count in NIH], rows=30_805, labelled=[c is not None for c in NIH])
    every = task_weights_cohen(targets, over="all")
    want = [0.1661053552, 0.6061907088, 0.9807954341, 1.0]
    assert every[[2, 0, 13, 14]].tolist() == pytest.approx(want, rel=1e-6)
    labelled = task_weights_cohen(targets)
    assert labelled[[2, 4, 14]].tolist() == pytest.approx([0.2076490439, 1.0, 1.0], rel=1e-6)
    assert labelled.dtype == torch.float32


def test_task_weights_of_small_counts():
    """C1."""
    assert task_weights_cohen(of_counts([10, 2, 0], rows=12)).tolist() == pytest.approx([4 / 14, 12 / 14, 1])
    assert task_weights_cohen(of_counts([5, 5, 5], rows=12)).tolist() == [1, 1, 1]
    assert task_weights_cohen(of_counts([0, 0], rows=4)).tolist() == [1, 1]
    assert task_weights_cohen(torch.full((4, 2), NAN), over="all").tolist() == [1, 1]
    # two equal tasks among eighteen: the paper's code gives both 0.1
    targets = of_counts([9555] * 2 + [0] * 16, rows=30_227, labelled=[True] * 2 + [False] * 16)
    assert task_weights_cohen(targets, over="all")[:2].tolist() == pytest.approx([0.1, 0.1])
    assert task_weights_cohen(targets).tolist() == [1.0] * 18


def test_a_frequent_finding_weighs_less():
    counts = torch.randint(0, 50, (12,), generator=torch.Generator().manual_seed(0))
    weights = task_weights_cohen(of_counts(counts.tolist(), rows=60))
    assert torch.equal(weights.argsort(stable=True), counts.argsort(descending=True, stable=True))
    assert ((weights > 0) & (weights <= 1)).all()


def test_labels_of_a_dataset_go_in_as_they_are(tmp_path):
    ds = xr.CheXpert(fakes.write("chexpert", tmp_path / "chexpert"), space="chexpert14", policy=xr.U_ONES_LSR)
    assert not ds.labels.flags.writeable
    for function in (positive_weights, task_weights_cohen):
        weights = function(ds.labels)
        assert torch.equal(weights, function(torch.tensor(np.array(ds.labels))))
        assert weights.shape == (14,)


@pytest.mark.parametrize("function", [positive_weights, task_weights_cohen])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.zeros(3), r"targets: expected a real tensor of shape \(N, L\), got float32 of shape \(3,\)"),
        (torch.tensor([[-1.0]]), "targets: expected values .*, got -1. -1 is the code of uncertain"),
        (np.array([[2.0]]), "targets: expected values .*, got 2"),
        ([[0.0]], r"targets: expected a real tensor of shape \(N, L\), got list"),
    ],
)
def test_weights_refuse_what_no_policy_gives(function, targets, message):
    with pytest.raises(ValueError, match=message):
        function(targets)


def test_over_is_one_of_two():
    with pytest.raises(ValueError, match=r"over: expected one of \('labelled', 'all'\), got 'known'"):
        task_weights_cohen(torch.zeros(2, 2), over="known")


# --- who labels what


def labelled(*spaces):
    """The (D, L) table of some spaces, over all their findings."""
    findings = sorted({str(label) for space in spaces for label in space.labels})
    return findings, torch.tensor([[name in space.labels for name in findings] for space in spaces])


NOT_A_FINDING = "No Finding"  # Luo 2020 has no class for it


def chosen(findings, mask):
    return {name for name, there in zip(findings, mask.tolist(), strict=True) if there}


def test_the_sets_of_nih_and_chexpert_are_the_paper_s():
    """Luo 2020: 7 in common, 7 of NIH alone, 6 of CheXpert alone."""
    chexpert = [name for name in LabelSpace.load("chexpert14").labels if name != NOT_A_FINDING]
    findings, table = labelled(LabelSpace.load("nih14"), LabelSpace.of(chexpert))
    sets = label_sets(table)
    common = {
        "Atelectasis",
        "Cardiomegaly",
        "Consolidation",
        "Edema",
        "Effusion",
        "Pneumonia",
        "Pneumothorax",
    }
    assert chosen(findings, sets.common) == common
    nih = {"Emphysema", "Fibrosis", "Hernia", "Infiltration", "Mass", "Nodule", "Pleural_Thickening"}
    assert chosen(findings, sets.internal_only) == nih
    mediastinum, opacity = "Enlarged Cardiomediastinum", "Lung Opacity"
    others = {mediastinum, opacity, "Fracture", "Lung Lesion", "Pleural Other", "Support Devices"}
    assert chosen(findings, sets.external_only) == others
    weights = task_weights_luo(table)
    assert weights.dtype == torch.float32
    assert weights[sets.common].tolist() == [3.0] * 7
    assert weights[~sets.common].tolist() == [1.0] * 13


def test_the_other_way_round_the_two_outer_sets_change_places():
    _, table = labelled(LabelSpace.load("nih14"), LabelSpace.load("chexpert14"))
    there, back = label_sets(table), label_sets(table, internal=1)
    assert torch.equal(there.common, back.common)
    assert torch.equal(there.internal_only, back.external_only)
    assert torch.equal(there.external_only, back.internal_only)


def test_of_three_datasets_a_finding_is_common_if_the_internal_one_and_another_label_it():
    """Their intersection is empty."""
    table = torch.tensor([[1, 1, 0, 0, 1, 0], [1, 0, 1, 0, 0, 1], [0, 1, 1, 0, 0, 0]]).bool()
    sets = label_sets(table)
    assert sets.common.tolist() == [True, True, False, False, False, False]
    assert sets.internal_only.tolist() == [False, False, False, False, True, False]
    assert sets.external_only.tolist() == [False, False, True, False, False, True]
    assert (torch.stack(sets).sum(0) == table.any(0).long()).all()  # each finding in one, if anybody has it
    assert task_weights_luo(table, internal=2, common=2.5).tolist() == [1.0, 2.5, 2.5, 1.0, 1.0, 1.0]


def test_one_dataset_has_nothing_in_common():
    assert task_weights_luo(np.array([[True, False]])).tolist() == [1.0, 1.0]
    assert label_sets(np.array([[True, False]])).internal_only.tolist() == [True, False]


def test_what_is_labelled_can_be_read_off_the_targets():
    """As the docstring says."""
    targets = torch.tensor([[1, NAN, 0], [0, NAN, NAN], [NAN, 1, 0]])
    source = torch.tensor([0, 0, 1])
    table = torch.stack([(~targets[source == d].isnan()).any(0) for d in range(2)])
    assert task_weights_luo(table).tolist() == [1.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labelled": torch.ones(2, 3)}, r"labelled: expected bool of shape \(D, L\), .*, got float32 of"),
        ({"labelled": torch.ones(3).bool()}, r"labelled: expected bool .*, got bool of shape \(3,\)"),
        ({"labelled": torch.ones(0, 3).bool()}, r"labelled: expected bool .*, got bool of shape \(0, 3\)"),
        ({"labelled": [[True]]}, "labelled: expected bool .*, got list"),
        ({"internal": 2}, "internal: expected a row of labelled, from 0 to 1, got 2"),
        ({"internal": -1}, "internal: expected a whole number of at least 0, got -1"),
        ({"common": -1.0}, "common: expected a finite number of at least 0, got -1"),
        ({"common": NAN}, "common: expected a finite number of at least 0, got nan"),
    ],
)
def test_wrong_tables_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        task_weights_luo(**({"labelled": torch.ones(2, 3).bool()} | arguments))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_what_the_processor_gives():
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(200, 20, generator=generator).round()
    targets[torch.rand(200, 20, generator=generator) < 0.4] = NAN
    assert torch.equal(positive_weights(targets.cuda()).cpu(), positive_weights(targets))
    assert torch.equal(task_weights_cohen(targets.cuda()).cpu(), task_weights_cohen(targets))
    table = torch.rand(3, 20, generator=generator) < 0.5
    made = task_weights_luo(table.cuda())
    assert made.is_cuda
    assert torch.equal(made.cpu(), task_weights_luo(table))

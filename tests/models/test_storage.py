"""A classifier's file: the same answers after it, and damage, hostile headers and other spaces refused."""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load as parse, save as serialise

from xrdatasets.errors import WeightsError, WeightsNotFoundError
from xrdatasets.labels import LabelSpace
from xrdatasets.models import (
    BranchHead,
    Card,
    Classifier,
    ClassQueryHead,
    ConditionalHead,
    InputSpec,
    LinearHead,
    Mini,
    MultiClassHead,
    Network,
    PerDatasetHead,
    save,
)
from xrdatasets.models.weights.storage import KEY, read_classifier

SPACE = ("Atelectasis", "Effusion", "Nodule")
HEADS = {
    "linear": lambda: LinearHead(32, 3),
    "branches": lambda: BranchHead(32, 3, width=4),
    "queries": lambda: ClassQueryHead(32, 3),
    "per dataset": lambda: PerDatasetHead(32, 3, datasets=("a", "b"), trained=torch.ones(2, 3).bool()),
    "conditional": lambda: ConditionalHead(32, 3, parents=(-1, 0, 1)),
    "three classes": lambda: MultiClassHead(32, 3),
}


def classifier(head="linear", **options):
    torch.manual_seed(0)
    network = Network(Mini(width=2), HEADS[head]())
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    options = {"inputs": InputSpec(size=32), "trained": ["Effusion", "Nodule"], **options}
    points = {"Effusion": 0.1, "Nodule": 1 / 3}
    return Classifier(network, SPACE, operating_points=points, card=Card("tiny", notes=("é",)), **options)


def images():
    return 1024 * (2 * torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1)) - 1)


@pytest.fixture
def file(tmp_path):
    classifier().save(tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def changed(file, change=lambda document, tensors: None, **replaced):
    """The file with another card or other tensors, and the old digest."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    document = {**json.loads(json.loads(data[8 : 8 + length])["__metadata__"][KEY]), **replaced}
    tensors = parse(data)
    change(document, tensors)
    file.write_bytes(serialise(tensors, {KEY: json.dumps(document)}))
    return file


def signed(file, change=lambda document, tensors: None, **replaced):
    """As `changed`, by somebody who computes the digest anew."""
    from xrdatasets.models.weights.storage import _digest

    def sign(document, tensors):
        change(document, tensors)
        document.pop("sha256")
        document["sha256"] = _digest(document, tensors)

    return changed(file, sign, **replaced)


@pytest.mark.parametrize("head", HEADS)
def test_the_answers_are_the_same_bits(head, tmp_path):
    model = classifier(head)
    model.save(tmp_path / "a.safetensors")
    again = read_classifier(tmp_path / "a.safetensors")
    assert torch.equal(again(images()).nan_to_num(9), model(images()).nan_to_num(9))
    assert torch.equal(again.logits(images()), model.logits(images()))
    assert (again.space, again.inputs, again.card) == (model.space, model.inputs, model.card)
    assert torch.equal(again.trained, model.trained)
    assert torch.equal(again.operating_points.nan_to_num(9), model.operating_points.nan_to_num(9))
    assert not again.training


def test_the_same_classifier_gives_the_same_bytes(file, tmp_path):
    classifier().save(tmp_path / "other.safetensors")
    assert (tmp_path / "other.safetensors").read_bytes() == file.read_bytes()


def test_safetensors_itself_reads_the_weights(file):
    model = classifier()
    tensors = parse(file.read_bytes())
    assert {name: value.tolist() for name, value in tensors.items()} == {
        name: value.tolist() for name, value in model.network.state_dict().items()
    }


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 2e-3), ("bfloat16", 2e-2)])
def test_half_precision_halves_the_file(dtype, error, file, tmp_path):
    model = classifier()
    save(model, tmp_path / "half.safetensors", dtype=dtype)
    again = read_classifier(tmp_path / "half.safetensors")
    assert {value.dtype for value in again.parameters()} == {torch.float32}
    difference = (again.probabilities(images()) - model.probabilities(images())).abs().max()
    assert difference <= error
    if dtype != "float32":
        assert difference > 0
        assert (tmp_path / "half.safetensors").stat().st_size < file.stat().st_size


def test_channels_last_weights_are_written_in_order(tmp_path):
    model = classifier()
    model.network.to(memory_format=torch.channels_last)
    model.save(tmp_path / "a.safetensors")
    assert torch.equal(
        read_classifier(tmp_path / "a.safetensors").logits(images()), classifier().logits(images())
    )


def test_reading_draws_nothing_from_the_global_generator(file):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    read_classifier(file)
    assert torch.equal(torch.rand(1), wanted)


def test_every_byte_counts(file):
    """A changed byte is refused wherever it is: in the header, in the card, in each tensor."""
    data, model = file.read_bytes(), classifier()
    (length,) = struct.unpack("<Q", data[:8])
    places = [0, 9, 40, length // 2, length, *np.linspace(8 + length, len(data) - 1, 40).astype(int).tolist()]
    for place in places:
        for flip in (1, 128):
            damaged = bytearray(data)
            damaged[place] ^= flip
            file.write_bytes(damaged)
            try:
                found = read_classifier(file)
            except WeightsError as error:
                assert "tiny.safetensors" in str(error)  # noqa: PT017
            else:  # a blank of the header may become another blank
                assert torch.equal(found.logits(images()), model.logits(images()))
                assert place < 8 + length


@pytest.mark.parametrize("part", [0, 4, 8, 100, 0.5, -1])
def test_a_cut_file_is_refused(part, file):
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part) if isinstance(part, float) else part])
    with pytest.raises(WeightsError, match=r"cannot load '.*tiny\.safetensors': it is damaged"):
        read_classifier(file)


def test_a_missing_tensor_is_named(file):
    signed(file, lambda _, tensors: tensors.pop("head.bias"))
    with pytest.raises(WeightsError, match=r"1 tensors are missing, 'head\.bias' first"):
        read_classifier(file)


def test_a_strange_tensor_is_named(file):
    signed(file, lambda _, tensors: tensors.update(more=torch.zeros(2)))
    with pytest.raises(WeightsError, match="1 tensors are not of its network, 'more' first"):
        read_classifier(file)


def test_a_tensor_of_another_shape_is_named(file):
    signed(file, lambda _, tensors: tensors.update({"head.bias": torch.zeros(4)}))
    with pytest.raises(WeightsError, match=r"'head\.bias' has the shape \(4,\), expected \(3,\)"):
        read_classifier(file)


def test_a_tensor_that_was_replaced_is_found_out(file):
    changed(file, lambda _, tensors: tensors.update({"head.bias": torch.zeros(3)}))
    with pytest.raises(WeightsError, match="its content does not match its digest"):
        read_classifier(file)


def test_a_card_that_was_edited_is_found_out(file):
    changed(file, operating_points=[None, 0.5, 0.5])
    with pytest.raises(WeightsError, match="its content does not match its digest"):
        read_classifier(file)


def test_another_space_of_the_same_name_is_refused(file):
    labels = LabelSpace.load("chexpert5").labels
    signed(file, space={"name": "chexpert5", "labels": ["Effusion", "Nodule", "Mass"]})
    with pytest.raises(
        WeightsError, match=r"its space 'chexpert5' has other findings than here .*" + labels[-1]
    ):
        read_classifier(file)


def test_a_finding_that_is_not_known_here_is_named(file):
    signed(file, space={"name": "own", "labels": ["Effusion", "Nodule", "Green lung"]})
    with pytest.raises(WeightsError, match=r"Green lung.*Update xrdatasets"):
        read_classifier(file)


@pytest.mark.parametrize(
    "replaced",
    [
        {"space": {"name": "own", "labels": ["Effusion"]}},
        {"space": []},
        {"trained": [True]},
        {"operating_points": [0.5, 0.5, 7]},
        {"operating_points": None},
        {"inputs": {"size": -1}},
        {"inputs": {"shape": 3}},
        {"card": {"notes": 3}},
        {"network": {}},
        {"network": {"backbone": {"name": "os.system"}, "head": {"kind": "linear"}}},
    ],
    ids=lambda replaced: json.dumps(replaced)[:40],
)
def test_a_card_that_makes_no_classifier_is_refused(replaced, file):
    signed(file, **replaced)
    with pytest.raises(
        WeightsError, match=r"cannot load '.*tiny\.safetensors': its card does not make a classifier"
    ):
        read_classifier(file)


@pytest.mark.parametrize("width", [10**6, 10**18, -(10**9)])
def test_a_network_beyond_all_sizes_takes_no_memory(width, file):
    config = {
        "backbone": {"name": "mini", "width": width},
        "head": {"kind": "linear", "in_features": 32, "outputs": 3},
    }
    signed(file, network=config)
    with pytest.raises(WeightsError, match=r"its network has a size of -?\d"):
        read_classifier(file)


def test_a_large_network_is_compared_before_it_is_made(file):
    config = {
        "backbone": {"name": "mini", "width": 4000},
        "head": {"kind": "linear", "in_features": 64_000, "outputs": 3},
    }
    signed(file, network=config)  # 20 GB of weights
    with pytest.raises(WeightsError, match="has the shape"):
        read_classifier(file)


def test_plain_safetensors_say_what_to_do(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(serialise({"x": torch.zeros(2)}))
    with pytest.raises(WeightsError, match=r"without the card of a classifier.*fit_state"):
        read_classifier(tmp_path / "a.safetensors")


@pytest.mark.parametrize("text", ["[]", "3", "null", "{", "", "[" * 100_000])
def test_a_card_that_is_no_object_is_refused(text, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(serialise({"x": torch.zeros(2)}, {KEY: text}))
    with pytest.raises(WeightsError, match=r"cannot load '.*a\.safetensors'"):
        read_classifier(tmp_path / "a.safetensors")


def test_a_later_format_is_named(file):
    changed(file, version=2)
    with pytest.raises(WeightsError, match=r"it has version 2 of the format, expected 1\. Update xrdatasets"):
        read_classifier(file)


def test_a_card_without_a_part_is_named(file):
    changed(file, lambda document, _: document.pop("inputs"))
    with pytest.raises(WeightsError, match="its card lacks inputs"):
        read_classifier(file)


def test_no_file_is_not_a_damaged_one(tmp_path):
    with pytest.raises(WeightsNotFoundError, match=r"no file '.*nothing\.safetensors'"):
        read_classifier(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsNotFoundError, match="no file"):
        read_classifier(tmp_path)


def test_what_cannot_be_written_leaves_what_was_there(file, monkeypatch):
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        classifier().save(file, dtype="float16")
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_folded_classifier_is_not_saved(tmp_path):
    fast = classifier().for_inference()
    with pytest.raises(ValueError, match="for_inference"):
        fast.save(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "options", "name"), [(None, {}, "classifier"), ("ok", {"dtype": "int8"}, "dtype")]
)
def test_wrong_arguments_are_named(model, options, name, tmp_path):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        save(classifier() if model else None, tmp_path / "a", **options)

"""Pickled weights: files of the real peer, and files of torch's own, read to the bit."""

import hashlib
import json
import math
import re
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.pickled import (
    SYSTEM,
    call,
    counts,
    floats,
    many,
    mapping,
    module,
    name,
    number,
    tensor,
    text,
    write_legacy,
    write_zip,
)
from xrdatasets.errors import WeightsError, WeightsNotFoundError
from xrdatasets.models.weights.pickles import read_pickled_state

# written by benchmarks/pickles.py with torchxrayvision 1.5.7, torchvision 0.28 and torch 2.13
STORED = Path(__file__).parent / "stored"
OUTPUTS = json.loads((STORED / "outputs.json").read_text())
FILES = ("densenet_zip", "densenet_legacy", "resnet_zip", "resnet_legacy")
both = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def saved(value, path, *, zipped=True, **options):
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def assert_same(found, expected):
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape)
        assert torch.equal(found[key], value)
        assert found[key].is_contiguous()
        assert not found[key].requires_grad


def formula_images():
    """What the peer was shown."""
    b, i, j = torch.meshgrid(torch.arange(2), torch.arange(64), torch.arange(64), indexing="ij")
    return ((37 * i * i + 101 * j + 17 * i * j + 59 * b) % 2048 - 1024).float()[:, None]


# --- the peer's files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_names_and_bytes_are_those_that_the_peer_wrote(file):
    found = read_pickled_state(STORED / f"{file}.pt")
    expected = OUTPUTS[file.split("_")[0]]["tensors"]
    assert {
        key: [list(value.shape), str(value.dtype), hashlib.sha256(value.numpy().tobytes()).hexdigest()[:16]]
        for key, value in found.items()
    } == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize("file", ["resnet_zip", "resnet_legacy"])
def test_a_state_dict_is_read_as_torch_reads_it(file):
    path = STORED / f"{file}.pt"
    assert_same(read_pickled_state(path), torch.load(path, weights_only=True))


def norm(state, prefix, maps):
    parts = [state[f"{prefix}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return functional.batch_norm(maps, *parts)


def dense_logits(state, images):
    """DenseNet's equations (Huang 2017) as torchxrayvision has them, with one, two, one and one layers."""
    maps = functional.conv2d(images, state["features.conv0.weight"], stride=2, padding=3)
    maps = functional.max_pool2d(norm(state, "features.norm0", maps).relu(), 3, 2, 1)
    for block, layers in enumerate((1, 2, 1, 1), 1):
        for layer in range(1, layers + 1):
            prefix = f"features.denseblock{block}.denselayer{layer}"
            new = functional.conv2d(
                norm(state, f"{prefix}.norm1", maps).relu(), state[f"{prefix}.conv1.weight"]
            )
            new = norm(state, f"{prefix}.norm2", new).relu()
            maps = torch.cat([maps, functional.conv2d(new, state[f"{prefix}.conv2.weight"], padding=1)], 1)
        if block < 4:
            prefix = f"features.transition{block}"
            maps = functional.conv2d(
                norm(state, f"{prefix}.norm", maps).relu(), state[f"{prefix}.conv.weight"]
            )
            maps = functional.avg_pool2d(maps, 2)
    features = norm(state, "features.norm5", maps).relu().mean((2, 3))
    return functional.linear(features, state["classifier.weight"], state["classifier.bias"])


@pytest.mark.parametrize("file", ["densenet_zip", "densenet_legacy"])
def test_the_tensors_give_the_peers_outputs(file):
    with torch.inference_mode():
        logits = dense_logits(read_pickled_state(STORED / f"{file}.pt"), formula_images())
    torch.testing.assert_close(logits, torch.tensor(OUTPUTS["densenet"]["logits"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        logits.sigmoid(), torch.tensor(OUTPUTS["densenet"]["sigmoid"]), rtol=0, atol=1e-5
    )


def test_nothing_is_imported_called_or_written():
    code = f"""
import builtins, pickle, sys, torch
from xrdatasets.models.weights.pickles import read_pickled_state

def audit(event, arguments):
    names = ("torchvision", "torchxrayvision")
    if event == "import" and arguments[0].split(".")[0] in names:
        raise SystemError(f"import of {{arguments[0]}}")
    if event in ("pickle.find_class", "exec", "compile", "os.system", "subprocess.Popen"):
        raise SystemError(event)
    if event == "open" and arguments[1] not in (None, "r", "rb"):
        raise SystemError(f"opened to write: {{arguments}}")

def refuse(*arguments, **options):
    raise SystemError("called")

read_pickled_state({str(STORED / "densenet_zip.pt")!r})  # what torch and zipfile import when first used
torch.load = torch.serialization.load = pickle.load = pickle.loads = pickle.Unpickler = refuse
sys.addaudithook(audit)
for file in {FILES!r}:
    print(len(read_pickled_state({str(STORED)!r} + f"/{{file}}.pt")))
print(*(name for name in sys.modules if name.startswith(("torchvision", "torchxrayvision"))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["91", "91", "74", "74"]


# --- files of torch's own ----------------------------------------------------------------------------------


def small_network():
    torch.manual_seed(0)
    network = nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(1, 4, 3, bias=False),
            norm=nn.BatchNorm2d(4),
            act=nn.ReLU(inplace=True),
            body=nn.ModuleList([nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), nn.GroupNorm(1, 3)]),
        )
    )
    network.norm.register_buffer("nothing", None)
    network.norm.register_buffer("left_out", torch.ones(3), persistent=False)
    network.norm.register_buffer("kept", torch.arange(3))
    network.register_parameter("scale", nn.Parameter(torch.tensor(2.5)))
    return network


@both
def test_a_network_gives_its_state_dict(tmp_path, zipped):
    network = small_network()
    path = saved(network, tmp_path / "whole.pt", zipped=zipped)
    assert_same(
        read_pickled_state(path), {key: value.detach() for key, value in network.state_dict().items()}
    )


@both
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_each_protocol_of_pickle_that_torch_can_use(tmp_path, zipped, protocol):
    network = small_network()
    path = saved(network, tmp_path / "whole.pt", zipped=zipped, pickle_protocol=protocol)
    assert_same(
        read_pickled_state(path), {key: value.detach() for key, value in network.state_dict().items()}
    )


@both
def test_networks_of_torch_before_1_6_do_not_say_which_buffers_are_left_out(tmp_path, zipped):
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    expected = {key: value.clone() for key, value in network.state_dict().items()}
    for part in network.modules():
        del part._non_persistent_buffers_set
    assert_same(read_pickled_state(saved(network, tmp_path / "old.pt", zipped=zipped)), expected)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("whole", [True, False])
def test_weights_beside_what_a_training_script_keeps(tmp_path, key, whole):
    network = small_network()
    held = network if whole else network.state_dict()
    optimiser = torch.optim.AdamW(network.parameters()).state_dict()
    value = {"epoch": 3, "losses": [0.5, math.nan], "optimizer": optimiser, key: held, "seen": {1, 2}}
    found = read_pickled_state(saved(value, tmp_path / "checkpoint.pt"))
    assert_same(found, {name: value.detach() for name, value in network.state_dict().items()})


def test_a_tensor_that_is_called_model_is_a_tensor(tmp_path):
    state = {"model": torch.ones(2), "other": torch.zeros(1)}
    assert_same(read_pickled_state(saved(state, tmp_path / "state.pt")), state)


@both
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
    ],
    ids=str,
)
def test_each_type_of_number(tmp_path, zipped, dtype):
    state = {"a": torch.tensor([[0, 1, 2], [100, 7, 1]]).to(dtype), "b": torch.tensor(1).to(dtype)}
    assert_same(read_pickled_state(saved(state, tmp_path / "state.pt", zipped=zipped)), state)


@both
def test_views_become_tensors_of_their_own(tmp_path, zipped):
    whole = torch.arange(24.0).reshape(4, 6)
    state = {
        "turned": whole.T,
        "row": whole[1],
        "column": whole[:, 2],
        "steps": whole[::2, 1::3],
        "whole": whole,
        "again": whole,
        "last": torch.arange(5)[::2].unsqueeze(0),
        "none": torch.empty(0, 3),
        "channels": torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
    }
    found = read_pickled_state(saved(state, tmp_path / "views.pt", zipped=zipped))
    assert_same(found, state)
    found["whole"].zero_()
    assert torch.equal(found["again"], whole)
    assert torch.equal(found["turned"], whole.T)


def test_one_module_in_two_places_has_two_names(tmp_path):
    shared = nn.Linear(2, 1)
    network = nn.ModuleDict({"first": shared, "second": shared, "third": nn.ModuleDict({"x": shared})})
    found = read_pickled_state(saved(network, tmp_path / "shared.pt"))
    assert_same(found, {key: value.detach() for key, value in network.state_dict().items()})


TWO = struct.pack("<2f", 1.5, -2.0)


def test_numbers_that_lay_on_a_gpu_are_read_to_the_processor(tmp_path):
    for kind in (("torch", "FloatStorage"), ("torch.cuda", "FloatStorage")):
        body = mapping({"a": tensor(floats(2, kind=kind, device="cuda:3"))})
        found = read_pickled_state(write_zip(tmp_path / "gpu.pt", body, {"0": TWO}))
        assert found["a"].device.type == "cpu"
        assert found["a"].tolist() == [1.5, -2.0]


def test_the_older_format_has_parts_of_storages(tmp_path):
    part = many(text("part"), number(2), number(3))
    body = mapping(
        {
            "part": tensor(floats(6, "7", more=(part,)), 1, (2,), (1,)),
            "whole": tensor(floats(6, "7", more=(b"N",)), 0, (2, 3), (1, 2)),
        }
    )
    path = write_legacy(tmp_path / "parts.pt", body, {"7": struct.pack("<6f", *range(6))})
    found = read_pickled_state(path)
    assert found["part"].tolist() == [3, 4]  # of numbers 2, 3 and 4 the second and third
    assert found["whole"].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert_same(found, torch.load(path, weights_only=True))


def test_the_oldest_function_for_a_tensor_and_a_parameter_with_a_state(tmp_path):
    plain = call(name("torch._utils", "_rebuild_tensor"), floats(2), number(0), counts(2), counts(1))
    hooks = call(name("collections", "OrderedDict"))
    stated = call(name("torch._utils", "_rebuild_parameter_with_state"), plain, b"\x88", hooks, b"}")
    found = read_pickled_state(write_zip(tmp_path / "a.pt", mapping({"a": plain, "b": stated}), {"0": TWO}))
    assert_same(found, {"a": torch.tensor([1.5, -2.0]), "b": torch.tensor([1.5, -2.0])})


def test_what_else_a_module_may_hold_is_passed_by(tmp_path):
    size, device = call(name("torch", "Size"), counts(2, 3)), call(name("torch", "device"), text("cuda"))
    text_of_python_2, some_bytes = b"U\x01a", b"C\x01a"
    more = {"size": size, "device": device, "dtype": name("torch", "float16"), "set": b"\x8f(K\x01\x90"}
    more |= {"frozen": b"(K\x01\x91", "old": text_of_python_2, "bytes": some_bytes, "list": b"(K\x01l"}
    more |= {"dict": b"(K\x01Nd", "twice": b"K\x012" + b"\x86", "dropped": b"K\x01(K\x02K\x031"}
    body = module({"weight": tensor(floats(2))}, more=more)
    assert read_pickled_state(write_zip(tmp_path / "a.pt", body, {"0": TWO}))["weight"].tolist() == [
        1.5,
        -2.0,
    ]


def test_an_axis_of_one_may_have_any_step(tmp_path):
    body = mapping({"a": tensor(floats(2), 0, (1, 2, 1), (1 << 40, 1, -5))})
    assert read_pickled_state(write_zip(tmp_path / "a.pt", body, {"0": TWO}))["a"].tolist() == [[[1.5], [-2]]]


def test_any_byte_but_0_is_true(tmp_path):
    body = mapping({"a": tensor(floats(4, kind=("torch", "BoolStorage")), 0, (4,), (1,))})
    found = read_pickled_state(write_zip(tmp_path / "a.pt", body, {"0": b"\0\1\2\xff"}))
    assert found["a"].view(torch.uint8).tolist() == [0, 1, 1, 1]


# --- what is no such file ----------------------------------------------------------------------------------


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(WeightsNotFoundError, match=rf"{re.escape(str(path))}: no such file\. Expected"):
            read_pickled_state(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "it is a web page"),
        (b"\xef\xbb\xbf\n  <html>", "it is a web page"),
        (b"Not Found", "it is a text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "it is a text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it is no file of torch's"),
        (b"\x80", "it is damaged"),
        (b"\x80\x02K\x01.", "it is a pickle, but without torch's magic number"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02K\x01.", "without torch's version"),
        (b"PK\x03\x04", "it is damaged"),
        (b"pickle".ljust(257, b"\0") + b"ustar\0", "it is a tar archive"),
    ],
    ids=[
        "empty",
        "page",
        "page with marks",
        "text",
        "pointer",
        "png",
        "cut",
        "pickle",
        "version",
        "zip",
        "tar",
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(
        WeightsError, match=rf"weights\.pt: .*{message}.*Expected a file that torch\.save wrote; "
    ):
        read_pickled_state(path)


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_not_read_if_it_was_cut(tmp_path, file):
    whole, path = (STORED / f"{file}.pt").read_bytes(), tmp_path / "cut.pt"
    for length in [*range(1, len(whole), len(whole) // 40), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"cut\.pt: .* Expected .* download it again"):
            read_pickled_state(path)


def test_a_changed_byte_of_a_zip_file_is_seen_by_its_checksum(tmp_path):
    path, damaged = STORED / "resnet_zip.pt", tmp_path / "damaged.pt"
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("resnet_zip/data/0")
    data = bytearray(path.read_bytes())
    at = bytes(data).index(read_pickled_state(path)["conv1.weight"].numpy().tobytes())
    assert at > entry.header_offset
    data[at + 5] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(WeightsError, match=r"it is damaged \(BadZipFile: Bad CRC-32"):
        read_pickled_state(damaged)


@both
def test_big_endian_numbers_are_refused(tmp_path, zipped):
    path, body = tmp_path / "big.pt", mapping({"a": tensor(floats(2, more=() if zipped else (b"N",)))})
    if zipped:
        write_zip(path, body, {"0": TWO}, members={"archive/byteorder": b"big"})
    else:
        write_legacy(path, body, {"0": TWO}, system=SYSTEM | {"little_endian": False})
    with pytest.raises(WeightsError, match=r"its numbers are (big|not little)-endian"):
        read_pickled_state(path)


def test_zip_archives_of_other_things(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.pt", "w") as archive:
        archive.writestr("a/readme.txt", "images")
    with pytest.raises(WeightsError, match=r"0 members data\.pkl in place of one"):
        read_pickled_state(tmp_path / "images.pt")
    script = write_zip(tmp_path / "script.pt", b"}", members={"archive/constants.pkl": b"\x80\x02)."})
    with pytest.raises(WeightsError, match="a TorchScript program"):
        read_pickled_state(script)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.ones(1)], "holds a list in place of a state dict or a module"),
        (torch.ones(1), "holds a tensor in place of a state dict"),
        ({}, "holds no tensor by name"),
        ({"a": torch.ones(1), "b": 3.0}, "its state dict holds a float in place of a tensor"),
        ({1: torch.ones(1)}, "its state dict has a name that is no text"),
        (nn.ReLU(), "holds no tensor by name"),
        ({"a": torch.ones(1).to_sparse()}, r"asks for 'torch\._utils\._rebuild_sparse_tensor'"),
        ({"a": torch.ones(1, dtype=torch.complex64)}, r"asks for 'torch\.ComplexFloatStorage'"),
    ],
    ids=["list", "tensor", "nothing", "number", "numbered", "no weights", "sparse", "complex"],
)
def test_files_without_weights_say_what_they_hold(tmp_path, value, message):
    with pytest.raises(WeightsError, match=message):
        read_pickled_state(saved(value, tmp_path / "value.pt"))


def test_a_class_of_ones_own_is_named(tmp_path):
    body = module(kind=("my_project.networks", "Net"))
    with pytest.raises(
        WeightsError, match=r"asks for 'my_project\.networks\.Net', .* the state dict saved alone"
    ):
        read_pickled_state(write_zip(tmp_path / "own.pt", body))

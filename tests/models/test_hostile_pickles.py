"""Pickled weights that were made to do harm: none of it is run, no memory is taken, and nothing hangs."""

import copyreg
import io
import pickle
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.pickled import (
    SYSTEM,
    call,
    counts,
    finished,
    floats,
    many,
    mapping,
    module,
    name,
    number,
    older,
    tensor,
    text,
    write_legacy,
    write_older,
    write_zip,
)
from xrdatasets.errors import WeightsError
from xrdatasets.models.weights import pickle_machine, pickle_zip
from xrdatasets.models.weights.pickles import read_pickled_state

STORED = Path(__file__).parent / "stored"
TWO = struct.pack("<2f", 1.5, -2.0)
GOOD = tensor(floats(2))
EMPTY = dict.fromkeys(("_parameters", "_buffers", "_modules"), b"}")
HOOKS = dict.fromkeys(("_backward_hooks", "_forward_hooks", "_forward_pre_hooks"), b"}")
IDENTITY = ("torch.nn.modules.linear", "Identity")


def opened(module_name, attribute):
    """A thing by its dotted path inside a module, as protocol 4 names it."""
    return text(module_name) + text(attribute) + b"\x93"


def payloads(marker, program):
    """Pickles that write the file `marker` when Python's own reader meets them."""
    touch, write = f"touch {marker}", f"open({str(marker)!r}, 'w').close()"
    system, loaded = name("os", "system"), call(name("builtins", "__import__"), text("os"))
    tricked = name(*IDENTITY) + b")\x81" + mapping(EMPTY | HOOKS | {"forward": system}) + b"b"
    return {
        "os.system": call(system, text(touch)),
        "posix.system": call(name("posix", "system"), text(touch)),
        "eval": call(name("builtins", "eval"), text(write)),
        "exec": call(name("builtins", "exec"), text(write)),
        "names of Python 2": call(name("__builtin__", "eval"), text(write)),
        "getattr": call(call(name("builtins", "getattr"), loaded, text("system")), text(touch)),
        "partial": call(call(name("functools", "partial"), system, text(touch))),
        "attrgetter": call(call(call(name("operator", "attrgetter"), text("system")), loaded), text(touch)),
        "methodcaller": call(call(name("operator", "methodcaller"), text("system"), text(touch)), loaded),
        "runpy": call(name("runpy", "run_path"), text(str(program))),
        "torch.hub": call(name("torch.hub", "_import_module"), text("program"), text(str(program))),
        "through a module of torch.nn": call(
            opened("torch.nn.modules.module", "torch.os.system"), text(touch)
        ),
        "a method of a module": call(
            opened("torch.nn.modules.module", "Module.__call__"), tricked, text(touch)
        ),
        "INST": b"(" + text(touch) + b"ios\nsystem\n",
        "OBJ": b"(" + system + text(touch) + b"o",
        "in a key": b"}" + call(system, text(touch)) + b"K\x01s",
        "in the state of an object": name("collections", "UserDict")
        + b")\x81"
        + mapping({"data": call(system, text(touch))})
        + b"b",
    }


@pytest.fixture
def trap(tmp_path):
    """The file that a payload writes, and the program that some run."""
    marker, program = tmp_path / "marker", tmp_path / "program.py"
    program.write_text(f"open({str(marker)!r}, 'w').close()")
    return marker, program


@pytest.mark.parametrize("which", payloads("", ""))
def test_no_payload_runs(tmp_path, trap, which):
    marker, path = trap[0], tmp_path / "weights.pt"
    payload = payloads(*trap)[which]
    pickle.loads(b"\x80" + (b"\x04" if b"\x93" in payload else b"\x02") + payload + b".")
    assert marker.exists()  # the payload is no dud
    marker.unlink()
    inside = [
        payload,
        mapping({"a": GOOD, "b": payload}),
        payload + b"0" + mapping({"a": GOOD}),
        module({"weight": GOOD}, more={"nobody_looks_here": payload}),
        module({"weight": payload}),
        module({}, {"child": payload}),
        mapping({"a": tensor(payload)}),
        mapping({"a": tensor(many(text("storage"), payload, text("0"), text("cpu"), number(2)) + b"Q")}),
        many(text("module"), payload, text("file"), text("source")) + b"Q",
    ]
    for body in inside:
        for write in (write_zip, write_older):
            write(path, body, {"0": TWO})
            with pytest.raises(WeightsError, match=r"asks for .* nothing of it was run"):
                read_pickled_state(path)
            assert not marker.exists()


@pytest.mark.parametrize("which", payloads("", ""))
@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_no_payload_runs_beside_the_weights(tmp_path, trap, which, place):
    parts = [pickle.dumps(value, protocol=2) for value in (0x1950A86A20F9469CFC6C, 1001, SYSTEM)]
    parts += [finished(older(mapping({"a": GOOD}))), pickle.dumps(["0"], protocol=2)]
    parts[place] = finished(payloads(*trap)[which])
    path = tmp_path / "weights.pt"
    path.write_bytes(b"".join(parts) + struct.pack("<q", 2) + TWO)
    with pytest.raises(WeightsError, match=r"asks for .* nothing of it was run"):
        read_pickled_state(path)
    assert not trap[0].exists()


@pytest.mark.parametrize(
    "thing",
    [
        ("torchxrayvision.models", "get_weights"),
        ("torchxrayvision.utils", "download"),
        ("torchvision.models._api", "get_model"),
        ("torch.nn.functional", "relu"),
        ("torch.nn.modules.module", "Module.__setstate__"),
        ("torch.nn.modules.module", "Module.load_state_dict"),
        ("torch.nn.modules.module", "__builtins__"),
        ("torch.nn.modules.module", "Ä"),
        ("torch.nn", "Linear"),
        ("torch.nnx.modules", "Linear"),
        ("torch", "load"),
        ("torch", "os.system"),
        ("torch.serialization", "load"),
        ("torch.hub", "load"),
        ("torch.utils.data", "DataLoader"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
        ("copyreg", "_reconstructor"),
        ("builtins", "object"),
        ("collections", "defaultdict"),
        ("", ""),
    ],
    ids=".".join,
)
def test_a_name_that_weights_do_not_need_is_named(tmp_path, thing):
    shown = re.escape(ascii(".".join(thing)))
    for body in (opened(*thing), call(opened(*thing), text("a")), module(more={"extra": opened(*thing)})):
        with pytest.raises(
            WeightsError, match=rf"weights\.pt: it asks for {shown}, which .*{'source that you'}"
        ):
            read_pickled_state(write_zip(tmp_path / "weights.pt", body))


# --- records and what stands for functions -----------------------------------------------------------------

RECORD = name("torch.nn.modules.linear", "Linear") + b")\x81"
KIND = name("torch.nn.modules.linear", "Linear")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (call(KIND, number(2), number(2)), r"a call of torch\.nn\.modules\.linear\.Linear"),
        (call(RECORD), "a call of something"),
        (call(text("os.system"), text("true")), "a call of something"),
        (name("torch", "FloatStorage") + number(2) + b"R", "a call of something"),
        (name("collections", "OrderedDict") + b"]R", "a call of something"),
        (KIND + counts(2) + b"\x81", "an object that is no module"),
        (name("collections", "OrderedDict") + b")\x81", "an object that is no module"),
        (KIND + b")}\x92", "the pickle command NEWOBJ_EX"),
        (RECORD + many(b"}", mapping({"weight": GOOD})) + b"b", "a state of something that is no module"),
        (RECORD + b"]b", "a state of something that is no module"),
        (RECORD + b"}b}b", "a second state of a module"),
        (KIND + b"}b", "a state of something that is no module"),
        (b"}}b", "a state of something that is no module"),
        (GOOD + b"}b", "a state of something that is no module"),
        (name("torch._utils", "_rebuild_parameter") + b"}b", "a state of something that is no module"),
        (RECORD + text("a") + b"a", "items of something that is no list"),
        (RECORD + b"(K\x01e", "items of something that is no list"),
        (GOOD + b"K\x01a", "items of something that is no list"),
        (RECORD + text("__class__") + KIND + b"s", "keys of something that is no dict"),
        (b"](" + text("a") + b"Nu", "keys of something that is no dict"),
        (b"}(" + text("a") + b"u", "keys of something that is no dict"),
        (b"](K\x01\x90", "members of something that is no set"),
        (b"})Ns", "a key of type tuple"),
        (b"}]Ns", "a key of type list"),
        (b"}" + RECORD + b"Ns", "a key of type Record"),
        (b"}G" + struct.pack(">d", 0.5) + b"Ns", "a key of type float"),
        (b"}" + number((1 << 61) - 1) + b"Ns", "a key of type int"),
        (b"(" + many() + b"N" + b"d", "a key of type tuple"),
        (b"P0\n", "the pickle command PERSID"),
        (b"\x82\x01", "the pickle command EXT1"),
        (b"\x83\x01\x00", "the pickle command EXT2"),
        (b"\x84\x01\x00\x00\x00", "the pickle command EXT4"),
        (b"\x97", "the pickle command NEXT_BUFFER"),
        (b"\x98", "the pickle command READONLY_BUFFER"),
        (b"S'a'\n", "the pickle command STRING"),
        (b"K\x01K\x02\x93", "a name that is no text"),
    ],
)
def test_only_what_torch_does_is_done(tmp_path, body, message):
    for write in (write_zip, write_older):
        with pytest.raises(WeightsError, match=rf"asks for {message}, which .* nothing of it was run"):
            read_pickled_state(write(tmp_path / "weights.pt", body, {"0": TWO}))


def test_numbers_of_the_extension_registry_are_not_followed(tmp_path):
    marker = tmp_path / "marker"
    copyreg.add_extension("os", "system", 0xE0)
    try:
        body = call(b"\x82\xe0", text(f"touch {marker}"))
        pickle.loads(finished(body))
        marker.unlink()
        with pytest.raises(WeightsError, match="EXT1"):
            read_pickled_state(write_zip(tmp_path / "weights.pt", body))
    finally:
        copyreg.remove_extension("os", "system", 0xE0)
        copyreg.clear_extension_cache()
    assert not marker.exists()


def test_what_a_state_calls_itself_does_not_matter(tmp_path):
    tricks = dict.fromkeys(("__class__", "__dict__", "__setstate__", "__reduce__", "__slots__", "kind"), KIND)
    path = write_zip(tmp_path / "weights.pt", module({"__class__": GOOD}, more=tricks), {"0": TWO})
    assert {key: value.tolist() for key, value in read_pickled_state(path).items()} == {
        "__class__": [1.5, -2.0]
    }


@pytest.mark.parametrize(
    "parts",
    [
        {"_parameters": b"]"},
        {"_parameters": GOOD},
        {"_modules": mapping({"a": b"}"})},
        {"_modules": mapping({"a": GOOD})},
        {"_modules": mapping({"a": RECORD})},
        {"_buffers": mapping({"a": text("b")})},
        {"_buffers": mapping({"a": RECORD})},
        {"_parameters": mapping({"": GOOD})},
        {"_parameters": mapping({"a.b": GOOD})},
        {"_parameters": b"}K\x01" + GOOD + b"s"},
        {"_non_persistent_buffers_set": b"]"},
        {"_non_persistent_buffers_set": call(name("builtins", "set"), b"](K\x01e")},
    ],
)
def test_modules_of_another_build_are_refused(tmp_path, parts):
    body = RECORD + mapping(EMPTY | parts) + b"b"
    message = "is no module|in place of a tensor|a proper name|no set of buffers"
    with pytest.raises(WeightsError, match=message):
        read_pickled_state(write_zip(tmp_path / "weights.pt", body, {"0": TWO}))


# --- storages and tensors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (1, (2,), (1,)),
        (-1, (1,), (1,)),
        (3, (0,), (1,)),
        (1 << 62, (1,), (1,)),
        (0, (3,), (1,)),
        (0, (3,), (0,)),
        (0, (2,), (2,)),
        (1, (2,), (-1,)),
        (0, (1 << 40,), (0,)),
        (0, (2, 1 << 62), (0, 0)),
        (0, (0, 1 << 41), (1, 1)),
        (0, (0, 1 << 30, 1 << 30), (1, 1, 1)),
        (0, (-1,), (1,)),
        (0, (-1, -2), (1, 1)),
        (0, (2, 1), (1,)),
        (0, (1,) * 17, (1,) * 17),
    ],
)
def test_a_tensor_lies_within_its_storage(tmp_path, offset, size, stride):
    body = mapping({"a": tensor(floats(2), offset, size, stride)})
    with pytest.raises(WeightsError, match="reaches outside of the numbers"):
        read_pickled_state(write_zip(tmp_path / "weights.pt", body, {"0": TWO}))


TRUE, ONE = b"\x88", counts(1)


@pytest.mark.parametrize(
    "body",
    [
        call(name("torch._utils", "_rebuild_tensor"), floats(2), number(0), counts(2)),
        call(name("torch._utils", "_rebuild_tensor"), floats(2), number(0), b"](K\x02e", ONE),
        call(name("torch._utils", "_rebuild_tensor"), floats(2), number(0), many(TRUE), ONE),
        call(name("torch._utils", "_rebuild_tensor"), floats(2), TRUE, ONE, ONE),
        call(name("torch._utils", "_rebuild_tensor"), floats(2), number(0), many(text("2")), ONE),
        call(name("torch._utils", "_rebuild_tensor"), text("0"), number(0), ONE, ONE),
        call(name("torch._utils", "_rebuild_tensor"), name("torch", "FloatStorage"), number(0), ONE, ONE),
        call(
            name("torch._utils", "_rebuild_tensor_v2"),
            floats(2), number(0), ONE, ONE, TRUE, b"}", mapping({"conj": TRUE}),
        ),
        call(name("torch._utils", "_rebuild_parameter"), RECORD, TRUE, b"}"),
        call(name("torch._utils", "_rebuild_parameter"), GOOD),
        call(name("collections", "OrderedDict"), b"]"),
        call(name("builtins", "set"), text("abc")),
        call(name("torch", "Size"), number(3)),
    ],
)  # fmt: skip
def test_other_arguments_than_torchs_are_refused(tmp_path, body):
    with pytest.raises(WeightsError, match=r"of other things than torch does|reaches outside"):
        read_pickled_state(write_zip(tmp_path / "weights.pt", mapping({"a": body}), {"0": TWO}))


NOT_A_STORAGE = [
    text("0") + b"Q",
    number(7) + b"Q",
    b")Q",
    b"]Q",
    many(text("storage")) + b"Q",
    many(text("other"), name("torch", "FloatStorage"), text("0"), text("cpu"), number(2)) + b"Q",
    many(text("storage"), KIND, text("0"), text("cpu"), number(2)) + b"Q",
    many(text("storage"), name("torch", "float32"), text("0"), text("cpu"), number(2)) + b"Q",
    many(text("storage"), text("FloatStorage"), text("0"), text("cpu"), number(2)) + b"Q",
    many(text("storage"), name("torch", "FloatStorage"), number(0), text("cpu"), number(2)) + b"Q",
    many(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), text("2")) + b"Q",
    many(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), TRUE) + b"Q",
    floats(-2),
    floats(1 << 60),
    many(text("module"), KIND, text("file"), text("source")) + b"Q",
]


@pytest.mark.parametrize("reference", NOT_A_STORAGE)
def test_references_of_another_form_are_refused(tmp_path, reference):
    for write in (write_zip, write_older):
        with pytest.raises(WeightsError, match="refers to something that is no storage"):
            read_pickled_state(write(tmp_path / "weights.pt", mapping({"a": tensor(reference)}), {"0": TWO}))


def test_the_source_text_of_a_class_is_passed_by(tmp_path):
    source = text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    kind = many(text("module"), KIND, text(str(tmp_path / "program.py")), source) + b"Q"
    body = kind + b")\x81" + mapping(EMPTY | {"_parameters": mapping({"weight": older(GOOD)})}) + b"b"
    path = write_legacy(tmp_path / "weights.pt", body, {"0": TWO})
    assert read_pickled_state(path)["weight"].tolist() == [1.5, -2.0]
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]


@pytest.mark.parametrize(
    "more",
    [
        (text("part"),),
        (many(text("part"), number(0)),),
        (many(text("part"), number(-1), number(1)),),
        (many(text("part"), number(1), number(2)),),
        (many(text("part"), number(0), number(1 << 60)),),
        (),
        (b"N", b"N"),
    ],
)
def test_references_of_the_older_format_that_reach_outside(tmp_path, more):
    body = mapping({"a": tensor(floats(2, more=more), 0, (1,), (1,))})
    with pytest.raises(WeightsError, match=r"no storage|reaches outside of it"):
        read_pickled_state(write_legacy(tmp_path / "weights.pt", body, {"0": TWO}))


@pytest.mark.parametrize(
    ("storages", "message"),
    [
        ({}, "list of storages is not that of its tensors"),
        ({"1": TWO}, "list of storages is not that of its tensors"),
        ({"0": TWO, "1": TWO}, "list of storages is not that of its tensors"),
        ({"0": TWO + TWO}, "another length than its tensors say"),
        ({"0": TWO[:4]}, "another length than its tensors say"),
    ],
)
def test_storages_of_the_older_format_are_those_of_the_tensors(tmp_path, storages, message):
    body = mapping({"a": tensor(floats(2, more=(b"N",)))})
    with pytest.raises(WeightsError, match=message):
        read_pickled_state(write_legacy(tmp_path / "weights.pt", body, storages))


def test_a_count_that_the_file_does_not_have_takes_no_memory(tmp_path):
    body = mapping({"a": tensor(floats(1 << 40, more=(b"N",)), 0, (1 << 40,), (1,))})
    path = write_legacy(tmp_path / "weights.pt", body, {"0": b""})
    path.write_bytes(path.read_bytes()[:-8] + struct.pack("<q", 1 << 40) + TWO)
    with pytest.raises(WeightsError, match="ends within its numbers"):
        read_pickled_state(path)


@pytest.mark.parametrize(
    ("storages", "members", "options", "message"),
    [
        ({}, {}, {}, "storage '0' is missing"),
        ({"0": TWO[:7]}, {}, {}, "or of another length"),
        ({"0": TWO + TWO}, {}, {}, "or of another length"),
        ({"0": TWO}, {}, {"compression": zipfile.ZIP_DEFLATED}, "is compressed or encrypted"),
        ({"0": TWO}, {"second/data.pkl": b"}."}, {}, r"2 members data\.pkl in place of one"),
    ],
)
def test_archives_of_another_build_are_refused(tmp_path, storages, members, options, message):
    path = write_zip(tmp_path / "weights.pt", mapping({"a": GOOD}), storages, members=members, **options)
    with pytest.raises(WeightsError, match=message):
        read_pickled_state(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_an_archive_with_a_member_twice_is_refused(tmp_path):
    path = write_zip(
        tmp_path / "weights.pt", mapping({"a": GOOD}), {"0": TWO}, members={"archive/data/0": TWO}
    )
    with pytest.raises(WeightsError, match="two members of one name"):
        read_pickled_state(path)


def test_an_archive_that_names_the_same_bytes_many_times_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", finished(mapping({"a": GOOD})))
        archive.writestr("archive/data/0", bytes(10_000))
        for number_ in range(1, 100):
            again = zipfile.ZipInfo(f"archive/data/{number_}")
            for slot in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(again, slot, getattr(archive.filelist[1], slot))
            archive.filelist.append(again)
    with pytest.raises(WeightsError, match=r"its members are longer than the file|Overlapped entries"):
        read_pickled_state(path)


def test_one_storage_has_one_type(tmp_path):
    body = mapping({"a": GOOD, "b": tensor(floats(2, kind=("torch", "IntStorage")))})
    for write in (write_zip, write_older):
        with pytest.raises(WeightsError, match="storage '0' has two types"):
            read_pickled_state(write(tmp_path / "weights.pt", body, {"0": TWO}))


def test_a_list_of_storages_of_another_form_is_refused(tmp_path):
    path, keys = tmp_path / "weights.pt", pickle.dumps(["0"], protocol=2)
    whole = write_older(path, mapping({"a": GOOD}), {"0": TWO}).read_bytes()
    for wrong in ({"0": 0}, [["0"]], ["0", "0"], "0", [0]):
        path.write_bytes(whole.replace(keys, pickle.dumps(wrong, protocol=2)))
        with pytest.raises(WeightsError, match=r"list of storages is (none|not that of its tensors)"):
            read_pickled_state(path)


def test_a_place_before_the_file_is_damage(tmp_path):
    path = write_zip(tmp_path / "weights.pt", mapping({"a": GOOD}), {"0": TWO})
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<L", data, len(data) - 6)
    struct.pack_into("<L", data, len(data) - 6, start + 10)
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="it is damaged"):
        read_pickled_state(path)


# --- memory and time ---------------------------------------------------------------------------------------


def laughs(depth):
    """A tuple of two of a tuple of two …, which Python holds once, and hashes or shows 2^depth times."""
    return b")" + b"2\x86" * depth


def family(depth):
    """A module whose two children are one module, whose two children …"""
    body = module({"weight": GOOD})
    for level in range(depth):
        index = struct.pack("<I", level)
        body = body + b"r" + index + b"0" + module({}, {"a": b"j" + index, "b": b"j" + index})
    return body


BOMBS = {
    "bytes of 2^60": (b"\x8e" + struct.pack("<Q", 1 << 60), "it is damaged"),
    "text of 2^60": (b"\x8d" + struct.pack("<Q", 1 << 60), "it is damaged"),
    "bytes of 2^32": (b"B" + struct.pack("<I", (1 << 32) - 1), "it is damaged"),
    "number of 2^31": (b"\x8b" + struct.pack("<i", (1 << 31) - 1), "it is damaged"),
    "large number": (b"\x8b" + struct.pack("<i", 9) + bytes(9), "LONG4"),
    "array of 2^60": (b"\x96" + struct.pack("<Q", 1 << 60), "it is damaged"),
    "array": (b"\x96" + struct.pack("<Q", 2) + b"ab", "BYTEARRAY8"),
    "frame of 2^60": (b"\x95" + struct.pack("<Q", 1 << 60) + b"}", "holds no tensor by name"),
    "memo of 2^32": (b"]r" + struct.pack("<I", (1 << 32) - 1), "holds a list"),
    "nested tuples": (b")" + b"\x85" * 30_000, "holds a tuple"),
    "nested lists": (b"]" * 30_000 + b"a" * 29_999, "holds a list"),
    "nested dicts": (
        b"}" + b"}" + text("a") + b"}" * 30_000 + b"0" * 29_999 + b"s",
        "holds no tensor|holds a dict",
    ),
    "marks": (b"(" * 30_000, "it is damaged"),
    "tuples in tuples": (laughs(60), "holds a tuple"),
    "tuples in tuples as a key": (b"}" + laughs(60) + b"Ns", "a key of type tuple"),
    "tuples in tuples as a size": (
        mapping({"a": call(name("torch._utils", "_rebuild_tensor"), floats(2), number(0), laughs(60), ONE)}),
        "reaches outside",
    ),
    "tuples in tuples as a name": (text("torch") + laughs(60) + b"\x93", "a name that is no text"),
    "tuples in tuples as a storage": (laughs(60) + b"Q", "no storage"),
    "one module in 2^60 places": (family(60), "its modules have no end"),
    "a module in itself": (
        RECORD + b"q\0" + mapping(EMPTY | {"_modules": mapping({"a": b"h\0"})}) + b"b",
        "its modules have no end",
    ),
    "a list in itself": (b"]q\0h\0a", "holds a list"),
    "a dict in itself": (b"}q\0" + text("state_dict") + b"h\0s", "holds a dict in place of a tensor"),
    "a long name": (module({"a" * 400: GOOD}), "its names are too long"),
}


@pytest.mark.parametrize("which", BOMBS)
def test_bombs_end_as_errors_and_take_no_memory(tmp_path, which):
    body, message = BOMBS[which]
    for write in (write_zip, write_older):
        path = write(tmp_path / "weights.pt", body, {"0": TWO} if write is write_zip or GOOD in body else {})
        tracemalloc.start()
        try:
            with pytest.raises(WeightsError, match=message) as caught:
                read_pickled_state(path)
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()
        assert len(str(caught.value)) < 1_000


def test_one_storage_under_many_names_is_far_larger_than_its_file(tmp_path):
    names = b"".join(text(f"n{index}") + b"h\1" for index in range(1_000))
    body = b"}(" + text("a") + tensor(floats(1_000), 0, (1_000,)) + b"q\1" + names + b"u"
    for write in (write_zip, write_older):
        with pytest.raises(WeightsError, match="its tensors are far larger than the file"):
            read_pickled_state(write(tmp_path / "weights.pt", body, {"0": bytes(4_000)}))


def test_a_list_of_members_is_not_read_at_any_length(tmp_path):
    path, end = tmp_path / "weights.pt", 60 << 20
    with path.open("wb") as file:  # all but its ends is a hole
        file.write(b"PK\x03\x04")
        file.seek(end)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, end - 4, 4, 0))
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match="its list of members is too long"):
            read_pickled_state(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_pickle_has_an_end(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "weights.pt", mapping({"a": GOOD}), {"0": TWO})
    assert len(read_pickled_state(path)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(pickle_machine, "MOST_STEPS", 20)
        with pytest.raises(WeightsError, match="has more than 20 steps"):
            read_pickled_state(path)
    for module_ in (pickle_machine, pickle_zip):
        with monkeypatch.context() as patch:
            patch.setattr(module_, "MOST_BYTES", 50)
            with pytest.raises(WeightsError, match="description of the weights is larger than 0 MiB"):
                read_pickled_state(path)


def test_a_line_without_end_is_not_read(tmp_path):
    with pytest.raises(WeightsError, match="it is damaged"):
        read_pickled_state(write_zip(tmp_path / "weights.pt", b"c" + b"a" * 5_000_000))


# --- damage ------------------------------------------------------------------------------------------------


def damaged(data, rng):
    """A cut, or flipped bits: anywhere, or in the pickle of a zip archive, its checksum made right."""
    if rng.random() < 0.2:
        return data[: rng.integers(len(data))]
    if data.startswith(b"PK") and rng.random() < 0.6:
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
            for entry in old.infolist():
                content = old.read(entry)
                pickled = entry.filename.endswith("data.pkl")
                new.writestr(entry.filename, flipped(content, rng) if pickled else content)
        return made.getvalue()
    return flipped(data, rng)


def flipped(data, rng):
    changed = bytearray(data)
    for at in rng.integers(0, len(data), rng.integers(1, 5)):
        changed[at] ^= 1 << rng.integers(8)
    return bytes(changed)


@pytest.mark.parametrize("file", ["densenet_zip", "densenet_legacy", "resnet_zip", "resnet_legacy"])
def test_damage_gives_tensors_or_an_error_and_nothing_else(tmp_path, file):
    whole, path = (STORED / f"{file}.pt").read_bytes(), tmp_path / "damaged.pt"
    rng, messages = np.random.default_rng(0), []
    for _ in range(75):
        path.write_bytes(damaged(whole, rng))
        try:
            found = read_pickled_state(path)
        except WeightsError as error:
            messages.append(str(error))
        else:
            assert all(type(key) is str and type(value) is torch.Tensor for key, value in found.items())
    assert len(messages) > 20
    assert all(message.startswith(str(path)) for message in messages)

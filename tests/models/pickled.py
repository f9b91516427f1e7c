"""Pickles put together command by command, and torch's two kinds of file around them."""

import pickle
import struct
import zipfile

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def many(*items):
    """A tuple."""
    return b"(" + b"".join(items) + b"t"


def call(function, *arguments):
    return function + many(*arguments) + b"R"


def mapping(items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def counts(*values):
    return many(*map(number, values))


def floats(count, key="0", *, kind=("torch", "FloatStorage"), device="cpu", more=()):
    """A storage, named as torch names it in zip files; `more` is what the older format has behind that."""
    return many(text("storage"), name(*kind), text(key), text(device), number(count), *more) + b"Q"


def tensor(storage, offset=0, size=(2,), stride=(1,)):
    rest = (b"\x89", call(name("collections", "OrderedDict")))
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage, number(offset), counts(*size), counts(*stride), *rest,
    )  # fmt: skip


def module(parameters=None, modules=None, *, kind=("torch.nn.modules.linear", "Linear"), more=None):
    """A module as Python pickles one: made without arguments, then filled with its state."""
    parts = {"_parameters": mapping(parameters or {}), "_buffers": b"}", "_modules": mapping(modules or {})}
    return name(*kind) + b")\x81" + mapping(parts | (more or {})) + b"b"


def finished(body):
    return b"\x80\x02" + body + b"."


def write_zip(path, body, storages=None, *, members=None, **options):
    """The file that torch 1.6 and newer would write of a pickle and its storages."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", finished(body))
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
        for member, data in (members or {}).items():
            archive.writestr(member, data)
    return path


def write_legacy(path, body, storages=None, *, system=SYSTEM, width=4):
    """The file that older ones would write; each count is of numbers of `width` bytes."""
    heads = [pickle.dumps(value, protocol=2) for value in (MAGIC, VERSION, system)]
    keys = pickle.dumps(list(storages or {}), protocol=2)
    numbers = [struct.pack("<q", len(data) // width) + data for data in (storages or {}).values()]
    path.write_bytes(b"".join([*heads, finished(body), keys, *numbers]))
    return path


def older(body):
    """The same pickle with the older format's references, which have one item more: no part."""
    return body.replace(b"tQ", b"NtQ")


def write_older(path, body, storages=None):
    return write_legacy(path, older(body), storages)

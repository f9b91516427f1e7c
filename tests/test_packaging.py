"""Packaging: what the wheel has to carry is declared, and declared once."""

import configparser
import re
from pathlib import Path

import pytest

import xrdatasets
from xrdatasets.resources import mappings

ROOT = Path(__file__).parent.parent
DECLARED = configparser.ConfigParser(allow_no_value=True)
DECLARED.read(ROOT / "setup.cfg", encoding="utf-8")
EXTRAS = ("dicom", "train", "report", "onnx", "dask", "shards", "test", "docs", "dev", "all")
LATER = ("report",)  # for parts that are not here yet


def lines(section, option):
    return [line for line in DECLARED[section][option].splitlines() if line and not line.startswith("#")]


def is_hidden(path):
    return any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)


def test_every_folder_with_modules_is_a_declared_package():
    folders = {file.parent for file in (ROOT / "xrdatasets").rglob("*.py") if not is_hidden(file)}
    on_disk = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(lines("options", "packages")) == on_disk | {"xrdatasets.mappings"}


def test_every_package_has_an_init():
    for folder in {file.parent for file in (ROOT / "xrdatasets").rglob("*.py") if not is_hidden(file)}:
        assert (folder / "__init__.py").is_file()
    # without it, an editable install does not find the alias
    assert (ROOT / "mappings" / "__init__.py").is_file()


def test_every_file_of_the_mappings_is_package_data():
    patterns = [text.strip() for text in DECLARED["options.package_data"]["xrdatasets.mappings"].split(",")]
    folder = ROOT / "mappings"
    carried = {file for pattern in patterns for file in folder.glob(pattern)} | {folder / "__init__.py"}
    there = {file for file in folder.rglob("*") if file.is_file() and not is_hidden(file)}
    assert there - carried == set()


def test_every_data_file_of_the_package_is_package_data():
    carried = {
        file
        for package, patterns in DECLARED["options.package_data"].items()
        if package != "xrdatasets.mappings"
        for pattern in patterns.split(",")
        for file in ROOT.joinpath(*package.split(".")).glob(pattern.strip())
    }
    there = {
        file
        for file in (ROOT / "xrdatasets").rglob("*")
        if file.is_file() and file.suffix != ".py" and not is_hidden(file)
    }
    assert there == carried
    assert ROOT / "xrdatasets" / "py.typed" in there


def test_version_is_written_once():
    assert DECLARED["metadata"]["version"] == "attr: xrdatasets.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+", xrdatasets.__version__)
    files = [ROOT / name for name in ("setup.cfg", "pyproject.toml", "docs/conf.py")]
    written = re.compile(r"^\s*(?:version|release)\s*=\s*[\"']?\d", re.MULTILINE)
    again = [file for file in files if written.search(file.read_text(encoding="utf-8"))]
    assert again == []


def test_extras_are_those_of_the_contract():
    assert tuple(DECLARED["options.extras_require"]) == EXTRAS


def without_reason(option, section="options"):
    """Requirements of an option that no comment stands above."""
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8").split(f"\n{option} =\n")[1]
    before = ""
    for line in text.splitlines():
        if not line.startswith(" "):
            return
        if not line.strip().startswith("#") and not before.strip().startswith("#"):
            yield line.strip()
        before = line


def test_every_lower_bound_has_its_reason():
    assert list(without_reason("install_requires")) == []
    assert all(">=" in line for line in lines("options", "install_requires"))


def test_every_requirement_is_constrained():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    wanted = [
        *lines("options", "install_requires"),
        *(line for extra in EXTRAS if extra not in LATER for line in lines("options.extras_require", extra)),
    ]
    names = {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in wanted}
    assert names - pinned - {"xrdatasets"} == set()  # an extra may take in others
    assert "torch==2.13.0" in text.splitlines()


@pytest.mark.parametrize("name", ["findings.csv", "datasets.csv", "hierarchy.csv", "views.csv", "README.md"])
def test_tables_are_found(name):
    assert (mappings() / name).is_file()


def test_license_is_in_the_checkout():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")

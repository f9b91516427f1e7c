"""README and docs: their examples run, on tiny downloads in the folders that they name."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from tests import fakes
from xrdatasets.datasets.registry import CLASSES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = {key: CLASSES[key] for key in fakes.KEYS if key in CLASSES}
FOLDERS |= {"kermany": "chest_xray", "table": "hospital"}


def blocks(page, language):
    """Line number and text of each fenced block of a language."""
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, match.start(1)), match[1]


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Stand where the examples stand: beside the downloads."""
    for key, folder in FOLDERS.items():
        fakes.write(key, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_run(page, downloads):
    names = {"__name__": page.stem}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for line, text in blocks(page, "python"):
        if ">>>" in text:
            test = doctest.DocTestParser().get_doctest(text, names, page.name, str(page), line)
            runner.run(test, clear_globs=False)
            names = test.globs
        else:
            exec(compile("\n" * line + text, page, "exec"), names)
    assert runner.summarize(verbose=False).failed == 0


def commands():
    for page in PAGES:
        for _, text in blocks(page, "(?:sh|console)"):
            for line in text.splitlines():
                command = line.removeprefix("$ ")
                if command.startswith("xrdatasets "):
                    yield pytest.param(command, id=f"{page.stem}: {command}")


@pytest.mark.parametrize("command", list(commands()))
def test_commands_run(command, downloads, monkeypatch, capsys):
    from xrdatasets.cli import demo
    from xrdatasets.cli.main import main

    monkeypatch.setattr(demo, "EPOCHS", 1)  # its path is tried, not what it learns
    monkeypatch.setattr("sys.argv", shlex.split(command))
    try:
        status = main()
    except SystemExit as stop:
        status = stop.code
    assert not status, capsys.readouterr().err


@pytest.mark.parametrize("key", CLASSES)
def test_every_dataset_has_its_page(key):
    page = ROOT / "docs" / "datasets" / f"{key}.md"
    assert f"xrdatasets.{CLASSES[key]}" in page.read_text(encoding="utf-8")
    listed = (ROOT / "docs" / "datasets" / "index.md").read_text(encoding="utf-8").split()
    assert key in listed
    assert f"`{CLASSES[key]}`" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files_hold(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_place_is_left_to_be_filled(page):
    assert re.findall(r"@[A-Z]+@", page.read_text(encoding="utf-8")) == []


def test_named_tests_exist():
    """`docs/invariants.md` names tests; each of them is there."""
    text = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert named
    for file, name in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not name or re.search(rf"^\s*(?:def|class) {name}\b", source, re.MULTILINE), f"{file}::{name}"


def test_checks_run_the_readme_s_test_command():
    line = next(text for _, text in blocks(ROOT / "README.md", "sh") if "pytest" in text).strip()
    command = line.split(" && ")[-1].removeprefix(".venv/bin/")
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_changelog_has_a_place_for_mapping_rows():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## Unreleased$.*?^### Mapping tables$", text, re.MULTILINE | re.DOTALL)

"""Structure: who imports whom, what a module carries, and that no test reaches the network."""

import ast
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import xrdatasets

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "xrdatasets"
MODULES = sorted(PACKAGE.rglob("*.py"))
BASE = {"errors", "facts", "resources", "typing"}
# the rooms that a room may import from, beside itself; a new room needs a line here
MAY_IMPORT = {
    "errors": set(),
    "typing": set(),
    "resources": {"errors"},
    "facts": {"errors", "resources"},
    "unpacking": {"errors"},
    "answers": {"errors"},
    "fetching": {"answers", "errors"},
    "downloading": {"fetching", "unpacking"} | BASE,
    "images": {"errors", "typing"},
    "labels": BASE,
    "phantom": {"labels"} | BASE,
    "datasets": {"images", "labels", "phantom"} | BASE,
    "transforms": {"typing"},
    "packed": {"datasets", "images", "labels"} | BASE,
    "models": {"answers", "fetching", "images", "labels", "transforms"} | BASE,
    "prediction": {"images", "labels", "models"} | BASE,
    "training": {"datasets", "labels", "models", "packed", "transforms"} | BASE,
    "evaluation": {"labels"} | BASE,
    "legacy": {"datasets", "images", "labels", "models"} | BASE,
    "opening": {"datasets", "packed"} | BASE,
    "reports": {"datasets", "labels"} | BASE,
    "cli": {"datasets", "downloading", "evaluation", "labels", "models", "opening", "packed", "phantom"}
    | {"prediction", "reports", "training"}
    | BASE,
    "__main__": {"cli"},
}
# libraries that a room never imports, not even inside a function
NEVER = {
    "errors": {"numpy", "pandas", "torch"},
    "typing": {"numpy", "pandas"},  # torch for type checkers alone
    "resources": {"numpy", "pandas", "torch"},
    "facts": {"numpy", "pandas", "torch"},
    "answers": {"numpy", "pandas", "torch"},
    "fetching": {"numpy", "pandas", "torch"},
    "unpacking": {"numpy", "pandas", "torch"},
    "downloading": {"numpy", "pandas", "torch"},
    "images": {"pandas", "torch"},
    "labels": {"PIL", "imageio", "kornia_rs", "scipy", "torch"},
    "transforms": {"PIL", "imageio", "pandas"},
    "phantom": {"PIL", "imageio", "kornia_rs", "torch"},
    "evaluation": {"PIL", "imageio", "kornia_rs", "torch"},
    "reports": {"imageio", "kornia_rs", "torch"},
}
# what costs seconds or much of one is imported where it is used
INSIDE_FUNCTIONS = {
    "answers": {"requests", "urllib3"},
    "fetching": {"requests"},
    "unpacking": {"tqdm"},
    "downloading": {"requests", "tqdm"},
    "datasets": {"torch"},
    "evaluation": {"scipy"},
    "images": {"imagecodecs", "imageio", "kornia_rs", "pydicom", "scipy"},
    "packed": {"distributed", "h5py", "torch", "tqdm", "webdataset"},
    "transforms": {"kornia"},
    "legacy": {"PIL", "pydicom", "torch"},
    "models": {"PIL", "onnx", "onnxruntime", "pandas", "requests", "safetensors", "scipy"},
    "prediction": {"PIL", "pandas", "pydicom", "torch", "tqdm"},
    "phantom": {"scipy"},
    "reports": {"PIL"},
}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imported(nodes, *, deep):
    """Dotted names of all imports; not deep: only those that run when the module is imported."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            # `from xrdatasets import labels` speaks of a room too
            yield from (
                (f"{module}.{alias.name}" for alias in node.names) if module == "xrdatasets" else [module]
            )
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not deep:
            yield from imported(node.orelse, deep=deep)
        elif deep or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imported(ast.iter_child_nodes(node), deep=deep)


def public(tree):
    """Names of `__all__`, None if the module has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets):
            return [item.value for item in node.value.elts if isinstance(item, ast.Constant)]
    return None


def run_fresh(code):
    """Standard output of a fresh Python that knows the package."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


ROOMS = [path for path in MODULES if path != PACKAGE / "__init__.py"]
ids = pytest.mark.parametrize("path", ROOMS, ids=name_of)


@ids
def test_imports_point_down(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room}: no rule says what this room may import"
    names = [name.split(".") for name in imported(parse(path).body, deep=True)]
    rooms = {parts[1] for parts in names if parts[0] == "xrdatasets" and len(parts) > 1}
    if room in ("cli", "packed", "prediction"):  # the version is the package's own
        rooms.discard("__version__")
    assert rooms - MAY_IMPORT[room] - {room} == set()


@ids
def test_rooms_leave_out_what_is_not_theirs(path):
    names = {name.split(".")[0] for name in imported(parse(path).body, deep=True)}
    assert names & NEVER.get(room_of(path), set()) == set()


@ids
def test_costly_libraries_are_imported_where_they_are_used(path):
    names = {name.split(".")[0] for name in imported(parse(path).body, deep=False)}
    assert names & INSIDE_FUNCTIONS.get(room_of(path), set()) == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short_and_says_what_it_is(path):
    tree = parse(path)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert ast.get_docstring(tree)
    nothing_public = path.name == "__main__.py" or len(tree.body) == 1  # nothing but a docstring
    assert nothing_public or public(tree) is not None, "no __all__"


@pytest.mark.parametrize("path", [path for path in ROOMS if path.name == "__init__.py"], ids=name_of)
def test_an_init_re_exports_and_nothing_else(path):
    allowed = (ast.Expr, ast.ImportFrom, ast.Assign)
    tree = parse(path)
    assert [ast.unparse(node) for node in tree.body if not isinstance(node, allowed)] == []
    named = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert named - {"annotations"} == set(public(tree) or [])


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=name_of)
def test_no_module_shares_the_name_of_a_public_function_beside_it(folder):
    files = [path for path in folder.glob("*.py") if path.name != "__main__.py"]
    names = {name for path in files for name in public(parse(path)) or []}
    names |= set(dir(xrdatasets)) - {"__init__"} if folder == PACKAGE else set()
    modules = {path.stem for path in files} | {path.name for path in folder.iterdir() if path.is_dir()}
    modules -= {"main"}  # the entry point has the name that entry points have
    loaded = {name for name in names if isinstance(getattr(xrdatasets, name, None), type(ast))}
    assert modules & (names - loaded) == set()


def test_public_names_resolve():
    for name in xrdatasets.__all__:
        assert getattr(xrdatasets, name) is not None
    assert set(xrdatasets.__all__) <= set(dir(xrdatasets))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xrdatasets.nothing


def test_open_is_public_but_does_not_shadow_the_builtin():
    assert callable(xrdatasets.open)
    assert "open" not in xrdatasets.__all__


def test_type_checkers_see_the_names_that_are_resolved_lazily():
    block = next(node for node in parse(PACKAGE / "__init__.py").body if isinstance(node, ast.If))
    seen = {
        (node.module.removeprefix("xrdatasets."), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(room, name) for room, names in xrdatasets._ROOMS.items() for name in names}


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, xrdatasets; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = run_fresh(code)
    assert "xrdatasets" in loaded
    assert (
        set(loaded) & {"numpy", "pandas", "scipy", "torch", "PIL", "imageio", "kornia_rs", "typer"} == set()
    )


@pytest.mark.parametrize(
    ("names", "heavy"),
    [
        ("xrdatasets.datasets, xrdatasets.reports, xrdatasets.opening", "torch scipy PIL"),
        ("xrdatasets.images", "torch pandas imageio kornia_rs scipy"),
        ("xrdatasets.labels", "torch PIL imageio kornia_rs"),
        ("xrdatasets.models, xrdatasets.training", "PIL imageio kornia_rs scipy requests safetensors onnx"),
        ("xrdatasets.evaluation", "torch pandas PIL imageio kornia_rs scipy"),
        ("xrdatasets.facts, xrdatasets.typing", "torch numpy pandas"),
        ("xrdatasets.downloading", "torch numpy pandas requests tqdm"),
        ("xrdatasets.cli.main", "torch numpy pandas scipy PIL imageio kornia_rs"),
    ],
)
def test_rooms_load_without(names, heavy):
    loaded = run_fresh(f"import sys, {names}; print(*{{name.split('.')[0] for name in sys.modules}})")
    assert set(loaded) & set(heavy.split()) == set()


def test_star_import_is_whole():
    assert "NIH" in run_fresh("from xrdatasets import *; print(NIH.__name__, open.__module__)")


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
        lambda: socket.socket().connect(("127.0.0.1", 9)),
        lambda: socket.socket().connect_ex(("127.0.0.1", 9)),
        lambda: socket.getaddrinfo("example.org", 443),
    ],
    ids=["create_connection", "connect", "connect_ex", "getaddrinfo"],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_no_test_reaches_the_network(reach):
    with pytest.raises(RuntimeError, match="a test wants the network"):
        reach()

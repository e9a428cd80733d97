"""Files that people give: pipes, directories, devices, huge ones, byte order marks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agent_runs import Agents
from fake_cp import token
from kumadp.file_disk import read_text
from kumadp.settings import DpSettings
from kumadp.token_disk import TokenSource
from kumamesh.errors import UserError
from kumamesh.settings import resolve


def tokens_of(path: Path) -> TokenSource:
    return TokenSource.from_settings(resolve(DpSettings, flags={"token_file": path}).settings)


def test_a_pipe_is_refused_at_once_where_it_cannot_be_read_anew(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match=r"the token file .*pipe cannot be read: it is not a regular file"):
        tokens_of(pipe)


def test_a_pipe_is_read_where_once_is_enough(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("type: Dataplane",))
    writer.start()
    assert read_text(pipe, "the resource file", pipe=True) == "type: Dataplane"
    writer.join()


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"x" * 1_025, "larger than 1 KiB"), (b"\xff\xfe", "not text"), (b"\xe9", "not text")],
)
def test_what_is_not_a_short_text_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"the file {path} cannot be read: it is {reason}"):
        read_text(path, "the file", max_bytes=1_024)


def test_an_endless_device_ends() -> None:
    with pytest.raises(UserError, match="/dev/zero cannot be read: it is larger than 10 MiB"):
        read_text(Path("/dev/zero"), "the file", pipe=True)


def test_a_byte_order_mark_and_line_ends_of_windows_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xef\xbb\xbf" + token().encode() + b"\r\n")
    assert tokens_of(path).read() == token()


def test_whatever_becomes_of_the_token_file_the_last_token_stays_and_no_file_stays_open(
    tmp_path: Path,
) -> None:
    path = tmp_path / "token"
    path.write_text(token())
    tokens = tokens_of(path)

    def pipe() -> None:
        os.mkfifo(path)

    breakages = (
        path.mkdir,
        pipe,
        lambda: path.write_bytes(b"x" * 10_000_000),
        lambda: path.write_text(f"{token()}\0"),
        lambda: path.symlink_to(path),
    )
    files = len(os.listdir("/proc/self/fd"))
    for damage in breakages:
        path.rmdir() if path.is_dir() else path.unlink()
        damage()
        assert tokens.read() == token()
    assert len(os.listdir("/proc/self/fd")) == files


def test_an_empty_ca_file_does_not_open_the_door(kuma_dp: Agents, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    agent = kuma_dp.start(f"--ca-cert-file={tmp_path / 'ca.pem'}")
    assert agent.process.wait(30) == 1
    assert f"Error: the CA certificate file {tmp_path / 'ca.pem'} holds no certificate" in agent.log


def test_a_key_beside_the_ca_stays_here(kuma_dp: Agents, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(f"{(tmp_path / 'cp' / 'cp.key').read_text()}{kuma_dp.plane.ca_pem}")
    kuma_dp.plane.answers.append((422, b"as far as here"))
    agent = kuma_dp.run("--name=a", f"--cp-address={kuma_dp.plane.url}", f"--ca-cert-file={both}")
    assert agent.process.wait(30) == 1
    assert kuma_dp.plane.bootstrap_requests[0]["caCert"] == kuma_dp.plane.ca_pem

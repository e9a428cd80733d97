"""resolv.conf comes, goes, and is replaced while the name server runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fake_loop import FakeLoop
from kumadp_dns.forwarding.resolv_conf import ResolvConf
from kumadp_dns.forwarding.resolv_conf_disk import LOOK_S, ResolvConfWatch


class Watched:
    def __init__(self, path: Path) -> None:
        self.loop = FakeLoop()
        self.seen: list[ResolvConf] = []
        self.notes: list[str] = []
        self.watch = ResolvConfWatch(
            self.loop, path, self.seen.append, lambda _, line: self.notes.append(line)
        )

    def look(self, times: int = 1) -> list[str]:
        self.loop.advance(LOOK_S * times)
        return [server.host for server in self.watch.conf.servers]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "resolv.conf"


def test_a_file_that_is_not_there_is_told_once_and_awaited(path: Path) -> None:
    watched = Watched(path)
    assert watched.watch.conf.problem == f"{path} cannot be read: No such file or directory"
    assert watched.look(5) == []
    assert watched.notes == [
        f"{path} cannot be read: No such file or directory; until then only names of the mesh are known"
    ]
    path.write_text("nameserver 10.0.0.1\n")
    assert watched.look() == ["10.0.0.1"]
    assert watched.seen == [watched.watch.conf]


def test_a_file_that_is_replaced_or_written_over(path: Path) -> None:
    path.write_text("nameserver 10.0.0.1\n")
    watched = Watched(path)
    new = path.with_suffix(".new")
    new.write_text("nameserver 10.0.0.2\n")
    new.replace(path)
    assert watched.look() == ["10.0.0.2"]
    times = path.stat()
    path.write_text("nameserver 10.0.0.3\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert watched.look() == ["10.0.0.3"]
    path.unlink()
    path.symlink_to(new)
    new.write_text("nameserver 10.0.0.4\n")
    assert watched.look() == ["10.0.0.4"]
    watched.look(3)
    assert len(watched.seen) == 3


@pytest.mark.parametrize("empty", ["", "# nothing\nsearch example.com\n", None])
def test_a_file_without_servers_counts_when_it_stays_so(path: Path, empty: str | None) -> None:
    path.write_text("nameserver 10.0.0.1\n")
    watched = Watched(path)
    path.unlink() if empty is None else path.write_text(empty)
    assert watched.look() == ["10.0.0.1"]
    path.write_text("nameserver 10.0.0.1\n")
    assert watched.look() == ["10.0.0.1"]
    assert watched.seen == []
    path.unlink() if empty is None else path.write_text(empty)
    assert watched.look(2) == []
    assert len(watched.seen) == 1
    assert str(path) in watched.watch.conf.problem
    path.write_text("nameserver 10.0.0.1\n")
    assert watched.look() == ["10.0.0.1"]


def test_lines_that_cannot_be_used_are_told(path: Path) -> None:
    path.write_text("nameserver dns.example.com\nnameserver 10.0.0.1\n")
    watched = Watched(path)
    watched.look(3)
    assert watched.notes == [f"{path}, line 1: 'dns.example.com' is no IP address"]


def test_what_is_no_file_of_text_is_no_reason_to_stop(tmp_path: Path) -> None:
    assert "cannot be read" in Watched(tmp_path).watch.conf.problem
    garbage = tmp_path / "garbage"
    garbage.write_bytes(bytes(range(256)) * 1_000)
    assert Watched(garbage).watch.conf.servers == ()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert Watched(pipe).watch.conf.servers == ()


def test_nothing_is_read_any_more_when_it_is_closed(path: Path) -> None:
    watched = Watched(path)
    watched.watch.close()
    path.write_text("nameserver 10.0.0.1\n")
    assert watched.look(3) == []

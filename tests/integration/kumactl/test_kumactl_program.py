"""How the program ends when its surroundings end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from rest_stub import configure, raw_server, rest_stub
from running_api import Outcome

_INTERRUPTED_WHILE_LOADING = """
import sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "click":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from kumactl.cli import main
main()
"""


def test_an_interrupt_while_it_loads_is_quiet() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_WHILE_LOADING], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


@pytest.mark.parametrize("arguments", [[], ["get", "--help"], ["config", "view", "--no-config"]])
def test_lost_output_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "kumactl", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (1, "Error: cannot write: No space left on device\n")


def _program(home: Path, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "HOME": str(home), **settings.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "kumactl", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


async def _ended(process: subprocess.Popen[str]) -> Outcome:
    out, err = await asyncio.to_thread(process.communicate)
    return Outcome(process.returncode, out, err)


async def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    items = [{"name": f"mesh-{number}"} for number in range(2_000)]
    async with rest_stub(
        {"/meshes": {"items": items}, "/meshes/default/dataplanes/a/xds": "x" * 10**6}
    ) as stub:
        configure(tmp_path, stub.url)
        for arguments in (
            *(("get", "meshes", "-o", output) for output in ("table", "yaml", "json")),
            ("inspect", "dataplane", "a", "--type=config-dump"),
        ):
            reader, writer = os.pipe()
            os.close(reader)
            process = subprocess.Popen(
                [sys.executable, "-m", "kumactl", *arguments],
                env={**os.environ, "HOME": str(tmp_path)},
                stdout=writer,
                stderr=subprocess.PIPE,
                text=True,
            )
            os.close(writer)
            ended = await _ended(process)
            assert (ended.code, ended.err) == (1, "")


async def test_an_interrupt_during_a_request_is_quiet(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with raw_server(never) as url:
        configure(tmp_path, url)
        for timeout in ("60s", "0"):
            asked.clear()
            process = _program(tmp_path, "get", "meshes", "--api-timeout", timeout)
            await asked.wait()
            process.send_signal(signal.SIGINT)
            ended = await _ended(process)
            # The line break is for the terminal, which has shown ^C.
            assert (ended.code, ended.out, ended.err.strip()) == (130, "", "")


async def test_closed_stdin_and_stdout(tmp_path: Path) -> None:
    async with rest_stub({"/meshes": {"items": []}, "/tokens/user": "a.b.c"}) as stub:
        configure(tmp_path, stub.url)
        for command, code, message in (
            ("apply <&-", 1, "Error: cannot read stdin: it is closed; name a file with -f\n"),
            ("get meshes >&-", 0, ""),
            ("generate user-token --name a --valid-for 1h >&-", 0, ""),
        ):
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", f"{sys.executable} -m kumactl {command}"),
                env={**os.environ, "HOME": str(tmp_path)},
                stderr=subprocess.PIPE,
            )
            _, err = await process.communicate()
            assert (process.returncode, err.decode()) == (code, message), command


async def test_endless_input_is_refused(tmp_path: Path) -> None:
    for arguments, stdin in ((("apply", "-f", "/dev/zero"), None), (("apply",), "/dev/zero")):
        with Path(stdin or "/dev/null").open("rb") as source:
            ended = await _ended(_program(tmp_path, *arguments, stdin=source))
        assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
        assert "it is larger than 10 MiB; split it" in ended.err


async def test_letters_that_a_character_set_lacks(tmp_path: Path) -> None:
    async with rest_stub({"/meshes": {"items": [{"name": "日本"}]}}) as stub:
        configure(tmp_path, stub.url)
        ended = await _ended(_program(tmp_path, "get", "meshes", env={"PYTHONIOENCODING": "latin-1"}))
    assert (ended.code, ended.err) == (0, "")
    assert "\\u65e5\\u672c" in ended.out


def _terminal(home: Path, columns: int, *arguments: str) -> str:
    """What the program prints on a terminal of so many columns."""
    outer, inner = os.openpty()
    termios.tcsetwinsize(inner, (24, columns))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "kumactl", *arguments],
        env={**environment, "HOME": str(home)},
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    os.close(inner)
    printed = b""
    # The end of what a terminal prints is an error in reading.
    with contextlib.suppress(OSError):
        while block := os.read(outer, 65_536):
            printed += block
    os.close(outer)
    assert process.wait() == 0
    return printed.decode().replace("\r\n", "\n")


async def test_tables_fit_a_terminal(tmp_path: Path) -> None:
    service = {"kuma.io/service": "backend-with-a-long-name", "kuma.io/zone": "zone-1"}
    dataplane = {"networking": {"inbound": [{"port": 80, "tags": service, "state": "NotReady"}]}}
    item = {"mesh": "default", "name": "backend-7d9c5b8f6-x2x4z", "dataplane": dataplane}
    answers = {
        "/meshes/default/dataplanes/_overview": {"items": [item, item]},
        "/meshes/default/dataplanes": {"items": [{**item, **dataplane}]},
        "/mesh-insights": {"items": [{"name": "default"}]},
        "/zones/_overview": {"items": [{"name": "zone-1"}]},
        "/meshes/default/service-insights": {"items": []},
        "/meshes": {"items": [{"name": "default"}]},
        "/zoneingresses/_overview": {"items": []},
    }
    async with rest_stub(answers) as stub:
        configure(tmp_path, stub.url)
        for arguments in (
            *(("inspect", kind) for kind in ("dataplanes", "meshes", "zones", "services", "zoneingresses")),
            ("get", "dataplanes"),
            ("get", "meshes"),
        ):
            text = await asyncio.to_thread(_terminal, tmp_path, 80, *arguments)
            assert text.count("\n") >= 1
            if arguments != ("inspect", "zoneingresses"):
                assert max(map(len, text.splitlines())) <= 80, text

"""Our name server as the agent starts it, in a program that is told over its standard input what to serve."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from dns_others import TTL_S, made_names

SCRIPT = Path(__file__)
SUPPORT = SCRIPT.parents[1] / "support"


class Ours:
    """The handle on such a program; `prefix` is what it is started with, as to pin it to a core."""

    def __init__(self, folder: Path, port: int, prefix: Sequence[str] = ()) -> None:
        self.port = port
        self._log = folder / f"name-server-{port}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, str(SCRIPT), str(port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": str(SUPPORT)},
            )
        self._tell("start")
        self.pid = self._process.pid
        """Of the program in the agent's place."""
        (worker,) = psutil.Process(self.pid).children()
        self.worker = worker.pid

    def kept_mb(self) -> float:
        """The table as the agent keeps it for the next worker: a file in memory, in no process's PSS."""
        files = (os.stat(link) for link in Path(f"/proc/{self.pid}/fd").iterdir() if _is_table(link))
        return sum(file.st_size for file in files) / 2**20

    def apply(self, names: int) -> float:
        """Seconds until it answers from a table of so many names."""
        return float(self._tell("apply", names))

    def swap(self, names: int, times: int) -> list[float]:
        """Seconds of each of so many tables, in which the addresses differ from those before."""
        seconds: list[float] = self._tell("swap", names, times)
        return seconds

    def relay(self, upstream_port: int, folder: Path) -> None:
        """Start a relay beside it, as in the agent; its socket is `relay.sock` in the folder."""
        self._tell("relay", upstream_port, str(folder))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def _tell(self, *order: str | int) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the name server has ended:\n{self._log.read_text()[-4000:]}"
        return json.loads(line)


def _is_table(link: Path) -> bool:
    return str(link.readlink()).startswith("/memfd:kuma-dp names")


async def obey(port: int) -> None:
    from kumadp_dns.answers.document import Document, Record
    from kumadp_dns.name_server_process import NameServer, bind

    def document(names: int, turn: int = 0) -> Document:
        made = made_names(names, shift=turn % 2 * names)
        return Document(tuple(Record(name, both) for name, both in made.items()), TTL_S)

    async def seconds(wanted: Document) -> float:
        begin = time.perf_counter()
        await server.apply(wanted)
        return time.perf_counter() - begin

    nowhere = Path("/nonexistent/resolv.conf")
    server = NameServer(bind(["127.0.0.1"], port, exact=True), resolv_conf=nowhere)
    server.start()
    tasks = [asyncio.create_task(server.supervise())]
    while line := await asyncio.to_thread(sys.stdin.readline):
        result: object = None
        match json.loads(line):
            case ["apply", names]:
                result = await seconds(document(names))
            case ["swap", names, times]:
                tables = [document(names, turn) for turn in range(2)]
                result = [await seconds(tables[turn % 2]) for turn in range(times)]
            case ["relay", upstream_port, folder]:
                # Only now: gRPC has threads, and the worker must be there before them.
                from bench_relay import serve_relay

                tasks.append(asyncio.create_task(serve_relay(upstream_port, Path(folder))))
        print(json.dumps(result), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await server.close()


if __name__ == "__main__":
    asyncio.run(obey(int(sys.argv[1])))

"""The file with the system's name servers, looked at again and again: it may be written, replaced, a mount.

It is read as a whole each time, once a second: nothing that a file can be is missed, which neither inotify
(links, mounts) nor time stamps (two changes within one tick) would give.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from kumadp_dns.forwarding.resolv_conf import ResolvConf, parse
from kumadp_dns.loop import Loop, Timer

LOOK_S = 1.0

_MAX_BYTES = 65_536


class ResolvConfWatch:
    """`changed` is told what the file says whenever that has changed. A file without servers counts when it
    is seen twice: one that is being written looks like that. `note` takes a kind and a line for the log."""

    def __init__(
        self,
        loop: Loop,
        path: str,
        changed: Callable[[ResolvConf], None],
        note: Callable[[str, str], None],
        *,
        port: int = 53,
    ) -> None:
        self._loop = loop
        self._path = path
        self._changed = changed
        self._note = note
        self._port = port
        self._seen = self.conf = self._read()
        self._tell()
        self._timer: Timer = loop.call_at(loop.now() + LOOK_S, self._look)

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_at(self._loop.now() + LOOK_S, self._look)
        before, self._seen = self._seen, self._read()
        if self._seen != self.conf and (self._seen.servers or self._seen == before):
            self.conf = self._seen
            self._tell()
            self._changed(self.conf)

    def _read(self) -> ResolvConf:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                data = os.read(file, _MAX_BYTES)
            finally:
                os.close(file)
        except OSError as error:
            why = error.strerror or type(error).__name__
            return ResolvConf(problem=f"{self._path} cannot be read: {why}")
        conf = parse(data.decode("utf-8", "replace"), port=self._port)
        return conf if conf.servers else replace(conf, problem=f"{self._path} names no name server")

    def _tell(self) -> None:
        conf = self.conf
        for complaint in conf.complaints:
            self._note("resolv.conf", f"{self._path}, {complaint}")
        if conf.problem:
            self._note("resolv.conf", f"{conf.problem}; until then only names of the mesh are known")

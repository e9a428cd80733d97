"""An ordinary name server of the world outside, as a program: `python zone_server.py HOST PORT ZONE-FILE`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from dnslib.server import DNSLogger, DNSServer
from dnslib.zoneresolver import ZoneResolver


def main(host: str, port: str, file: str) -> None:
    resolver = ZoneResolver(Path(file).read_text())
    for tcp in (False, True):
        DNSServer(
            resolver, address=host, port=int(port), tcp=tcp, logger=DNSLogger("-request,-reply")
        ).start_thread()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What the worker imports before it answers: nothing installed, and nothing that is slow to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dns_queries import query

ROOTS = [str(Path(__file__).resolve().parents[3] / root) for root in ("dns", "mesh")]
HEAVY = ("asyncio", "dnslib", "ipaddress", "json", "logging", "prometheus_client", "ssl")


def test_answering_takes_neither_installed_nor_heavy_modules() -> None:
    packet = query("mesh", "SOA")
    program = f"""
import sys
sys.path[:0] = {ROOTS!r}
from kumadp_dns.answers import explain, query, table
assert query.decide({packet!r}, table.EMPTY, tcp=False).rcode == "NOERROR"
print(*sorted(set(sys.modules) & set({HEAVY!r})))
"""
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")

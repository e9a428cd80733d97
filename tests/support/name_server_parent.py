"""Starts a name server and prints its worker's pid and its port; the test kills this process and expects the
worker to follow."""

from __future__ import annotations

import asyncio

from kumadp_dns.name_server_process import NameServer, bind
from name_server import NOWHERE, until


async def main() -> None:
    server = NameServer(bind(["127.0.0.1"], 0, exact=False), resolv_conf=NOWHERE)
    server.start()
    supervising = asyncio.create_task(server.supervise())
    print(await until(lambda: server.worker, "a worker"), server.port, flush=True)
    await supervising


if __name__ == "__main__":
    asyncio.run(main())

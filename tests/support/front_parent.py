"""Starts a front and prints its pid; the test kills this process and expects the front to follow."""

from __future__ import annotations

import asyncio
import sys

from kumacp.front.process import FrontProcess


async def main(grpc_path: str) -> None:
    front = FrontProcess.start("127.0.0.1", 0, grpc_path, lambda client: client.close())
    print(front.pid, flush=True)
    await front.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

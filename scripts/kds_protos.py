"""Write what protoc makes of kumacp/kds/wire/*.proto beside them (needs grpcio-tools, from the dev lock)."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

SOURCE_ROOT = Path(__file__).resolve().parent.parent / "controlplane"
WIRE = Path("kumacp/kds/wire")


def generate(target: Path) -> list[Path]:
    """Write the modules below `target`; returns their paths relative to it."""
    protos = sorted(path.relative_to(SOURCE_ROOT) for path in (SOURCE_ROOT / WIRE).glob("*.proto"))
    well_known = files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        f"-I{SOURCE_ROOT}",
        f"-I{well_known}",
        f"--python_out={target}",
        f"--pyi_out={target}",
    ]
    if protoc.main([*arguments, *map(str, protos)]):
        raise SystemExit("protoc refused the files; it says above why")
    return [path.with_name(f"{path.stem}_pb2{suffix}") for path in protos for suffix in (".py", ".pyi")]


if __name__ == "__main__":
    generate(SOURCE_ROOT)
    sys.exit(0)

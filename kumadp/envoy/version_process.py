"""Asking an Envoy for its version."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kumadp.envoy.version import EnvoyVersion, parse_version
from kumamesh.errors import UserError

_TIMEOUT_S = 20.0


class VersionProbe:
    """`envoy --version`, started early and read when its answer is needed."""

    def __init__(self, binary: Path) -> None:
        self.binary = binary
        try:
            self._process = subprocess.Popen(
                [str(binary), "--version"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", "")},
            )
        except OSError as error:
            raise UserError(f"{binary} cannot be run: {error.strerror}; check --binary-path") from None

    def result(self) -> EnvoyVersion:
        try:
            output, _ = self._process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise UserError(f"{self.binary} --version does not end; check --binary-path") from None
        finally:
            self.close()
        return parse_version(output.decode("utf-8", "replace"), str(self.binary))

    def close(self) -> None:
        """Leave nothing behind when the answer is not wanted any more."""
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdout:
            self._process.stdout.close()
        self._process.wait()

"""The agent reads YAML on its way to the first request: that must not cost the import of pydantic."""

from __future__ import annotations

import subprocess
import sys


def test_reading_yaml_does_not_import_pydantic() -> None:
    code = "import sys, kumamesh.resources.yamldoc; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

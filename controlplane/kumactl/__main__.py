"""`python -m kumactl`."""

from __future__ import annotations

from kumactl.cli import main

main()

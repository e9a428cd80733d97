"""Fail when a Python file is longer than 450 lines or a function longer than 60."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

FILE_LIMIT = 450
FUNCTION_LIMIT = 60
ROOTS = ("mesh", "bootstrap", "dns", "kumadp", "controlplane", "scripts", "tests")


def findings(path: Path) -> list[str]:
    """What is too long in one file, as lines for a person."""
    text = path.read_text(encoding="utf-8")
    found = []
    lines = text.count("\n")
    if lines > FILE_LIMIT:
        found.append(f"{path}: {lines} lines, the limit is {FILE_LIMIT}: split the file")
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LIMIT:
                found.append(
                    f"{path}:{node.lineno}: {node.name} has {length} lines, the limit is {FUNCTION_LIMIT}"
                )
    return found


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    found = [
        line for part in ROOTS for path in sorted((root / part).rglob("*.py")) for line in findings(path)
    ]
    print("\n".join(found) if found else "sizes: every file and function is within its limit")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Run the tests that prove promises and print row, parts, tests and results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
Results = dict[tuple[str, str], list[tuple[str, str]]]


def run_tests(arguments: list[str]) -> Results:
    """(row, part) -> [(test, outcome)] of every test that names a promise."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        environ = {**os.environ, "PROMISES_REPORT": str(report)}
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "promise", *arguments],
            cwd=ROOT,
            env=environ,
            check=False,
        )
        results: Results = {}
        if report.exists():
            for line in report.read_text(encoding="utf-8").splitlines():
                row, part, test, outcome = json.loads(line)
                results.setdefault((row, part), []).append((test, outcome))
    return results


def table(promises: dict[str, dict[str, object]], results: Results) -> tuple[str, int, int]:
    """The table, how many rows are whole, and how many of the named tests failed."""
    lines, whole, failed = [], 0, 0
    for row, entry in promises.items():
        proven = {}
        for part in entry["parts"]:  # type: ignore[attr-defined]
            tests = results.get((row, part), [])
            failed += sum(outcome != "passed" for _, outcome in tests)
            proven[part] = bool(tests) and all(outcome == "passed" for _, outcome in tests)
        state = "whole" if all(proven.values()) else "half" if any(proven.values()) else "open"
        whole += state == "whole"
        lines.append(f"{row}  {state:<5}  {entry['title']}")
        if state == "open" and not any((row, part) in results for part in proven):
            continue
        for part, good in proven.items():
            lines.append(f"       {'proven' if good else '-':<7} {part}")
            lines += [f"               {outcome:<7} {test}" for test, outcome in results.get((row, part), [])]
    return "\n".join(lines), whole, failed


def main() -> int:
    promises = tomllib.loads((ROOT / "docs" / "promises.toml").read_text(encoding="utf-8"))
    text, whole, failed = table(promises, run_tests(sys.argv[1:]))
    print(text)
    print(f"\n{whole} of {len(promises)} rows are whole; a row is half until every part has a passing test")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

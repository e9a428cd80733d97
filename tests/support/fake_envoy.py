#!/usr/bin/env python3
"""Stands in for Envoy where only command line, environment, signals and exit code matter.

`FAKE_ENVOY_LOG` names the file it appends JSON lines to; `FAKE_ENVOY_EXIT` makes it end at once with that
code, or by that signal when negative; `FAKE_ENVOY_STUBBORN` makes it ignore SIGTERM.
"""

import json
import os
import resource
import signal
import sys
import types


def record(**entry: object) -> None:
    with open(os.environ["FAKE_ENVOY_LOG"], "a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")


def on_term(_: int, __: types.FrameType | None) -> None:
    record(signal="SIGTERM")
    if "FAKE_ENVOY_STUBBORN" not in os.environ:
        os._exit(0)


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print(f"\n{sys.argv[0]}  version: {'0' * 40}/1.40.0/Clean/RELEASE/BoringSSL\n")
        return
    signal.signal(signal.SIGTERM, on_term)
    bootstrap = sys.argv[sys.argv.index("--config-path") + 1]
    record(
        pid=os.getpid(),
        argv=sys.argv[1:],
        environ=dict(os.environ),
        group=os.getpgid(0),
        file_limits=resource.getrlimit(resource.RLIMIT_NOFILE),
        bootstrap_mode=os.stat(bootstrap).st_mode & 0o777,
    )
    code = int(os.environ.get("FAKE_ENVOY_EXIT", "0"))
    if code < 0:
        os.kill(os.getpid(), -code)
    elif "FAKE_ENVOY_EXIT" in os.environ:
        sys.exit(code)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()

"""The rules of transparent proxying: known texts that the real programs take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goldens import assert_golden
from kumamesh.transparent_proxy.iptables_text import restore_text, wanted
from kumamesh.transparent_proxy.nft_text import install_text
from redirect_samples import FAMILIES, SAMPLES, chains
from redirected_network import Host, missing, network

GOLDEN_DIR = Path(__file__).parent / "redirect"
COMMANDS = {4: "iptables", 6: "ip6tables"}
LACKING = missing("iptables-nft", "iptables-legacy")


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("family", FAMILIES)
def test_iptables(name: str, family: int) -> None:
    assert_golden(GOLDEN_DIR / f"{name}.{COMMANDS[family]}", restore_text({}, wanted(chains(name, family))))


@pytest.mark.parametrize("name", SAMPLES)
def test_nft(name: str) -> None:
    text = install_text({family: chains(name, family) for family in FAMILIES})
    assert_golden(GOLDEN_DIR / f"{name}.nft", text)


def test_no_golden_is_left_over() -> None:
    expected = {f"{name}.{kind}" for name in SAMPLES for kind in (*COMMANDS.values(), "nft")}
    assert {path.name for path in GOLDEN_DIR.iterdir()} == expected


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    if LACKING:
        pytest.skip(LACKING)
    with network("host") as hosts:
        yield hosts["host"]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_iptables_takes_it(host: Host, name: str, kind: str) -> None:
    for command in COMMANDS.values():
        text = (GOLDEN_DIR / f"{name}.{command}").read_text()
        host.run(f"{command}-{kind}-restore", "--noflush", stdin=text)


@pytest.mark.parametrize("name", SAMPLES)
def test_nft_takes_it(host: Host, name: str) -> None:
    host.run("nft", "-f", str(GOLDEN_DIR / f"{name}.nft"))

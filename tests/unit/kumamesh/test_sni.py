"""SNI forms, with the vectors that a real Kuma computes (contract 5.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumamesh.names import SERVICE_TAG
from kumamesh.sni import ResourceKind, parse_tags_sni, resource_sni, tags_sni


@pytest.mark.parametrize(
    ("tags", "sni"),
    [
        ({"kuma.io/service": "backend"}, "backend{mesh=default}"),
        ({"kuma.io/service": "backend", "version": "v1"}, "backend{mesh=default,version=v1}"),
        (
            {"kuma.io/service": "backend_svc_80", "kuma.io/zone": "z1"},
            "backend_svc_80{kuma.io/zone=z1,mesh=default}",
        ),
    ],
)
def test_tags(tags: dict[str, str], sni: str) -> None:
    assert tags_sni(tags, "default") == sni
    assert parse_tags_sni(sni) == {**tags, "mesh": "default"}


@pytest.mark.parametrize(
    ("name", "mesh", "port", "kind", "extra", "sni"),
    [
        ("backend", "demo", 8080, "ms", {}, "ae10a8071b8a8eeb8.backend.8080.demo.ms"),
        ("backend", "demo", 8080, "mzms", {}, "ae10a8071b8a8eeb8.backend.8080.demo.mzms"),
        ("backend", "default", 80, "ms", {}, "a601e0c00295a9fbe.backend.80.default.ms"),
        ("backend", "demo", 8080, "ms", {"x": "a"}, "a333a125865a97632.backend.8080.demo.ms"),
    ],
)
def test_hashed(name: str, mesh: str, port: int, kind: ResourceKind, extra: dict[str, str], sni: str) -> None:
    assert resource_sni(name, mesh, port, kind, extra) == sni


def test_long_labels_are_cut_but_hashed_whole() -> None:
    one, other = (resource_sni("n" * 63 + end, "m" * 70, 80, "ms") for end in "ab")
    assert one.split(".")[1:] == ["n" * 62 + "x", "80", "m" * 62 + "x", "ms"]
    assert one.split(".")[1:] == other.split(".")[1:]
    assert one != other


@pytest.mark.parametrize("sni", ["a{b{c}", "a{k=v", "a{novalue}"])
def test_what_is_no_sni_is_refused(sni: str) -> None:
    with pytest.raises(ValueError, match="cannot parse tags from sni"):
        parse_tags_sni(sni)


_plain = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._/:", min_size=1, max_size=12)


@given(_plain, st.dictionaries(_plain.filter(lambda k: k not in (SERVICE_TAG, "mesh")), _plain), _plain)
def test_any_tags_come_back(service: str, tags: dict[str, str], mesh: str) -> None:
    whole = {**tags, SERVICE_TAG: service}
    assert parse_tags_sni(tags_sni(whole, mesh)) == {**whole, "mesh": mesh}

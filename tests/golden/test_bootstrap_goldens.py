"""Every kind of bootstrap, as rendered and as rewritten: known text that a real Envoy accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap_decoder import decode
from bootstrap_samples import GOLDEN_DIR, RELAY_SOCKET, SAMPLES, TOKEN
from envoy_binary import validate
from goldens import assert_golden
from kumadp_bootstrap.render import document, render
from kumadp_bootstrap.rewrite import rewrite
from kumadp_bootstrap.yamltext import dump, load

NAMES = sorted(SAMPLES)
FILES = sorted(f"{name}{form}.yaml" for name in NAMES for form in ("", ".relayed"))


@pytest.mark.parametrize("name", NAMES)
def test_rendered(name: str) -> None:
    assert_golden(GOLDEN_DIR / f"{name}.yaml", render(SAMPLES[name]))


@pytest.mark.parametrize("name", NAMES)
def test_rewritten(name: str) -> None:
    text = dump(rewrite(document(SAMPLES[name]), RELAY_SOCKET).document)
    assert TOKEN not in text
    assert_golden(GOLDEN_DIR / f"{name}.relayed.yaml", text)


def test_no_golden_is_left_over() -> None:
    assert sorted(path.name for path in GOLDEN_DIR.glob("*.yaml")) == FILES


@pytest.mark.parametrize("name", FILES)
def test_envoy_accepts(name: str) -> None:
    validate(GOLDEN_DIR / name)


def test_envoy_is_asked_in_earnest(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text((GOLDEN_DIR / "ingress.yaml").read_text().replace("STATIC", "STATICK", 1))
    with pytest.raises(AssertionError, match="STATICK"):
        validate(broken)


@pytest.mark.parametrize("name", FILES)
def test_a_second_decoder_reads_the_same(name: str) -> None:
    as_json = load((GOLDEN_DIR / name).read_text(), name)
    message = decode(as_json)
    assert type(message).parse(bytes(message)) == message
    assert message.node.id == as_json["node"]["id"]
    assert [cluster.name for cluster in message.static_resources.clusters] == [
        cluster["name"] for cluster in as_json["static_resources"]["clusters"]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_yaml_goes_there_and_back(name: str) -> None:
    assert load(render(SAMPLES[name]), name) == document(SAMPLES[name])

"""Every parser of outside bytes against inputs that are almost right; `make fuzz` takes millions."""

from __future__ import annotations

import logging

import pytest

import fuzz
from fuzz_resources import DOCUMENTS
from fuzz_targets import ALL
from kumamesh.resources.rest import from_rest

INPUTS = 4_000


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Refusals are logged; here there are thousands. The level is given back at the end of each test."""
    caplog.set_level(logging.CRITICAL, "kumacp")


@pytest.mark.parametrize("target", ALL, ids=lambda target: target.name.replace(" ", "-"))
def test_almost_right_inputs_break_nothing(target: fuzz.Target) -> None:
    figures = fuzz.run(target, max(len(target.seeds) + 100, int(INPUTS * target.share)))
    assert figures.outcomes > 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.get("type", "kubernetes"))
def test_seeds_are_valid(document: dict[str, object]) -> None:
    assert from_rest(document).name


def test_a_broken_property_is_found_and_shown_with_its_input() -> None:
    def check(data: bytes) -> str:
        assert b"}" in data, "lost"
        return str(len(data))

    target = fuzz.Target("broken", (b"{}",), ALL[0].mutations, check)
    with pytest.raises(fuzz.Broken, match="broken: AssertionError: lost"):
        fuzz.run(target, 10_000)


def test_the_same_seed_makes_the_same_inputs() -> None:
    seen: dict[int, list[bytes]] = {1: [], 2: [], 3: []}

    def note(inputs: list[bytes], data: bytes) -> str:
        inputs.append(data)
        return str(len(data) % 7)

    for name, seed in ((1, 5), (2, 5), (3, 6)):
        target = fuzz.Target(
            "same", (b"a: 1",), ALL[0].mutations, lambda data, name=name: note(seen[name], data)
        )
        fuzz.run(target, 200, seed=seed)
    assert seen[1] == seen[2]
    assert seen[1] != seen[3]

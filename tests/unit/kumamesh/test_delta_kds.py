"""The delta session as control planes use it among themselves (contract 8.3)."""

from __future__ import annotations

from delta_server import BACKOFF, Server, brief, only
from kumamesh.delta import DeltaRequest, DeltaResponse, Dialect, Nack


def test_kds_ignores_initial_versions_and_first_answers_with_full_state() -> None:
    server = Server(Dialect.KDS)
    server.put("Mesh", m="1")
    assert brief(only(server.ask("Mesh", "*", m="1", gone="1"))) == ({"m": "1"}, ())


def test_kds_answers_every_type_once_even_if_empty() -> None:
    server = Server(Dialect.KDS)
    response = only(server.ask("Zone", "*"))
    assert brief(response) == ({}, ())
    assert server.ack(response) == []


def nack_kds(server: Server, response: DeltaResponse, error: str) -> list[DeltaResponse]:
    """As Kuma says it: with the star again."""
    request = DeltaRequest(response.type_url, subscribe=("*",), nonce=response.nonce, error=error)
    assert isinstance(server.session.on_request(request, server.now), Nack)
    return server.poll()


def test_kds_repeating_the_star_in_a_refusal_asks_for_nothing_new() -> None:
    server = Server(Dialect.KDS)
    server.put("Mesh", m="1", n="1")
    assert nack_kds(server, only(server.ask("Mesh", "*")), "m is invalid") == []
    assert server.poll(after=BACKOFF) == []


def test_kds_offers_what_was_refused_again_and_less_and_less_often() -> None:
    server = Server(Dialect.KDS)
    server.put("Mesh", m="1", n="1")
    nack_kds(server, only(server.ask("Mesh", "*")), "m is invalid")
    assert server.session.wake_at() == server.now + 60.0
    again = only(server.poll(after=60.0))
    assert brief(again) == ({"m": "1"}, ())
    nack_kds(server, again, "m is invalid")
    assert server.session.wake_at() == server.now + 120.0
    again = only(server.poll(after=120.0))
    assert server.ack(again) == []
    assert server.session.settled("Mesh")
    assert server.session.wake_at() is None
    server.put("Mesh", n="2")
    nack_kds(server, only(server.poll()), "n is invalid")
    assert server.session.wake_at() == server.now + 60.0


def test_kds_offers_all_of_a_response_again_if_the_refusal_names_none_or_too_many() -> None:
    for error in ("no", " ".join(f"m{number}" for number in range(20))):
        server = Server(Dialect.KDS)
        server.put("Mesh", **{f"m{number}": "1" for number in range(30)})
        nack_kds(server, only(server.ask("Mesh", "*")), error)
        assert len(only(server.poll(after=60.0)).resources) == 30


def test_kds_sends_the_next_version_of_what_was_refused_and_its_removal() -> None:
    server = Server(Dialect.KDS)
    server.put("Mesh", m="1", n="1")
    nack_kds(server, only(server.ask("Mesh", "*")), "m and n are invalid")
    server.put("Mesh", m="2", n=None)
    response = only(server.poll(after=BACKOFF))
    assert brief(response) == ({"m": "2"}, ("n",))
    server.ack(response)
    assert server.poll(after=3_600.0) == []
    assert server.session.settled("Mesh")


def test_kds_answers_types_in_the_order_in_which_they_were_asked_for() -> None:
    server = Server(Dialect.KDS)
    for type_ in ("Secret", "Mesh", "Config"):
        server.session.on_request(DeltaRequest(type_, subscribe=("*",)), server.now)
    first = server.poll()
    assert [response.type_url for response in first] == ["Secret", "Mesh", "Config"]
    for response in reversed(first):
        server.session.on_request(DeltaRequest(response.type_url, nonce=response.nonce), server.now)
    server.put("Mesh", m="1")
    server.put("Secret", s="1")
    assert [response.type_url for response in server.poll()] == ["Secret", "Mesh"]

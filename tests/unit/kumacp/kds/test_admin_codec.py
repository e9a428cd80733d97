"""Questions to proxies of a zone, as bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.envoyadmin import question
from kumacp.kds.protocol import streams
from kumacp.kds.protocol.admin_codec import (
    Answered,
    Asked,
    decode_answer,
    decode_health,
    decode_question,
    encode_answer,
    encode_health,
    encode_question,
    stream_of,
)
from kumacp.kds.protocol.messages import MalformedMessage
from kumacp.kds.wire import kds_pb2
from kumamesh.resource import ResourceKey

PROXY = ResourceKey("Dataplane", "default", "web-1")
METHODS = (streams.XDS_CONFIGS, streams.STATS, streams.CLUSTERS)
QUESTIONS = [
    question.config_dump(include_eds=True),
    question.config_dump(include_eds=False),
    question.stats(used_only=True, as_json=False),
    question.stats(used_only=False, as_json=True),
    question.clusters(as_json=True),
    question.clusters(as_json=False),
]


@pytest.mark.parametrize("asked", QUESTIONS, ids=str)
def test_a_question_arrives_as_it_was_asked(asked: question.Question) -> None:
    method = stream_of(asked)
    assert decode_question(method, encode_question(Asked("id-1", PROXY, asked))) == Asked(
        "id-1", PROXY, asked
    )


def test_the_bytes_are_those_of_the_wire() -> None:
    """Field numbers of Kuma 2.13, by hand."""
    made = encode_question(Asked("i", PROXY, question.stats(used_only=True, as_json=True)))
    assert made == b"\x0a\x01i\x12\x09Dataplane\x1a\x05web-1\x22\x07default\x28\x01\x30\x01"
    made = encode_question(Asked("i", PROXY, question.config_dump(include_eds=True)))
    assert made == b"\x0a\x01i\x12\x09Dataplane\x1a\x05web-1\x22\x07default\x28\x01"
    assert encode_answer(streams.CLUSTERS, Answered("i", body=b"b")) == b"\x0a\x01i\x1a\x01b"
    assert encode_answer(streams.CLUSTERS, Answered("i", error="e")) == b"\x0a\x01i\x12\x01e"
    assert encode_health(300.0) == b"\x0a\x03\x08\xac\x02"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "answered", [Answered("1", body=b"\x00\xff"), Answered("1", body=b""), Answered("1", error="gone")]
)
def test_an_answer_arrives_as_it_was_given(method: str, answered: Answered) -> None:
    assert decode_answer(method, encode_answer(method, answered)) == answered


def test_an_answer_without_anything_is_an_error() -> None:
    empty = kds_pb2.StatsResponse(request_id="1").SerializeToString()
    assert decode_answer(streams.STATS, empty).body is None
    assert decode_answer(streams.STATS, empty).error


@pytest.mark.parametrize("seconds", [0.0, 0.25, 300.0])
def test_the_interval_of_pings(seconds: float) -> None:
    assert decode_health(encode_health(seconds)) == seconds


def test_a_negative_interval_is_none() -> None:
    message = kds_pb2.ZoneHealthCheckResponse()
    message.interval.seconds = -5
    assert decode_health(message.SerializeToString()) == 0.0


@given(data=st.binary(max_size=200), method=st.sampled_from(METHODS))
def test_other_bytes_are_refused_in_one_way(data: bytes, method: str) -> None:
    for decode in (decode_question, decode_answer):
        with contextlib.suppress(MalformedMessage):
            decode(method, data)
    with contextlib.suppress(MalformedMessage):
        assert decode_health(data) >= 0.0

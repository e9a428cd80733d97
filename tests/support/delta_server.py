"""A delta session with a client that says what a test tells it to."""

from __future__ import annotations

from kumamesh.delta import Ack, DeltaRequest, DeltaResponse, DeltaSession, Dialect, Nack
from kumamesh.xds import XdsResource

BACKOFF = 5.0


class Server:
    """A session with its source, and a client that says what the test tells it to."""

    def __init__(self, dialect: Dialect = Dialect.ENVOY) -> None:
        self.source: dict[str, dict[str, XdsResource]] = {}
        self.session = DeltaSession(self.source, dialect, nack_backoff_s=BACKOFF)
        self.now = 100.0

    def put(self, type_url: str, **versions: str | None) -> None:
        bucket = self.source.setdefault(type_url, {})
        for name, version in versions.items():
            if version is None:
                del bucket[name]
            else:
                bucket[name] = XdsResource(type_url, name, version, b"")
        self.session.touch(type_url, versions, self.now)

    def ask(self, type_url: str, *names: str, **known: str) -> list[DeltaResponse]:
        self.session.on_request(DeltaRequest(type_url, subscribe=names, initial_versions=known), self.now)
        return self.poll()

    def drop(self, type_url: str, *names: str) -> list[DeltaResponse]:
        self.session.on_request(DeltaRequest(type_url, unsubscribe=names), self.now)
        return self.poll()

    def ack(self, response: DeltaResponse) -> list[DeltaResponse]:
        verdict = self.session.on_request(DeltaRequest(response.type_url, nonce=response.nonce), self.now)
        assert isinstance(verdict, Ack)
        return self.poll()

    def nack(self, response: DeltaResponse, error: str = "no") -> list[DeltaResponse]:
        verdict = self.session.on_request(
            DeltaRequest(response.type_url, nonce=response.nonce, error=error), self.now
        )
        assert isinstance(verdict, Nack)
        return self.poll()

    def poll(self, after: float = 0.0) -> list[DeltaResponse]:
        self.now += after
        return self.session.poll(self.now)


def brief(response: DeltaResponse) -> tuple[dict[str, str], tuple[str, ...]]:
    return {item.name: item.version for item in response.resources}, response.removed


def only(responses: list[DeltaResponse]) -> DeltaResponse:
    (response,) = responses
    return response

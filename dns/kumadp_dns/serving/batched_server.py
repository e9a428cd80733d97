"""UDP by the batch: a query on loopback costs a fifth less, and of those who ask a lot it costs half."""

from __future__ import annotations

import contextlib
import socket
import time
from functools import partial

from kumadp_dns.figures import Figures
from kumadp_dns.serving import segments_server
from kumadp_dns.serving.datagrams_server import Unsupported
from kumadp_dns.serving.mmsg_server import Batch, Client
from kumadp_dns.serving.pace import GATHER_S, Pace
from kumadp_dns.serving.resolver import Resolver
from kumadp_dns.serving.sockets_server import is_for_this_host

__all__ = ["Batched", "Unsupported"]


class Batched:
    """Answers the queries of one UDP socket. Ready answers first: all others may take their time."""

    def __init__(self, sock: socket.socket, resolver: Resolver, figures: Figures) -> None:
        """Raises Unsupported."""
        self._sock = sock
        self._for_this_host = is_for_this_host(sock)
        self._batch = Batch(sock)
        self._segments: segments_server.Segments | None = None
        if self._for_this_host and segments_server.are_possible():
            self._segments = segments_server.Segments(sock)
        self._pace = Pace()
        self._resolver = resolver
        self._figures = figures

    def read(self) -> None:
        if self._pace.pays:
            time.sleep(GATHER_S)
        started = time.monotonic()
        filled = self._batch.receive()
        self._pace.took(filled, started)
        segments = self._segments
        if segments and segments.works and self._batch.is_of_one_client(filled, segments_server.WORTHWHILE):
            misses = self._answer_together(filled, segments)
        else:
            misses = self._answer_apart(filled)
        if len(misses) < filled:
            self._figures.observe(time.monotonic() - started, filled - len(misses))
        for slot in misses:
            self._ask(self._batch.query(slot), self._batch.client(slot))

    def _answer_apart(self, filled: int) -> list[int]:
        """In the slots that the queries have come in; those without a ready answer are left."""
        batch = self._batch
        find, hits = self._resolver.answers.get, self._figures.hits
        data, starts, lengths, sizes = batch.data, batch.starts, batch.lengths, batch.sizes
        misses = []
        for slot in range(filled):
            start = starts[slot]
            question = data[start + 2 : start + lengths[slot]]
            answer = find(question)
            if answer is None:
                misses.append(slot)
                continue
            size = len(answer) + 2
            data[start + 2 : start + size] = answer
            sizes[slot] = size
            hits[question[-3]] += 1
        first = 0
        for slot in misses:
            batch.send(first, slot)
            first = slot + 1
        batch.send(first, filled)
        return misses

    def _answer_together(self, filled: int, segments: segments_server.Segments) -> list[int]:
        """In as few messages as there can be."""
        batch = self._batch
        find, hits = self._resolver.answers.get, self._figures.hits
        data, starts, lengths = batch.data, batch.starts, batch.lengths
        names, places = batch.names, batch.places
        misses = []
        gathered: dict[tuple[bytes, int], list[bytes]] = {}
        for slot in range(filled):
            start = starts[slot]
            question = data[start + 2 : start + lengths[slot]]
            answer = find(question)
            if answer is None:
                misses.append(slot)
                continue
            hits[question[-3]] += 1
            key = names[places[slot]], len(answer)
            pieces = gathered.get(key)
            if pieces is None:
                gathered[key] = [data[start : start + 2], answer]
            else:
                pieces += (data[start : start + 2], answer)
        segments.send(gathered)
        return misses

    def _ask(self, packet: bytes, client: Client) -> None:
        host = None if self._for_this_host else str(client[0])
        answer = self._resolver.ask(packet, False, partial(self._send, client), host)
        if answer:
            self._send(client, answer)

    def _send(self, client: Client, answer: bytes) -> None:
        with contextlib.suppress(OSError):  # lost, as the network might have lost it
            self._sock.sendto(answer, client)

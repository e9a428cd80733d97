"""REST client of the control plane."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import urllib3

from kumactl import transport_client
from kumactl.answer import entries, plain, text, texts
from kumactl.configuration import LOCAL_URL, ControlPlane
from kumactl.failure import Refused, refusal
from kumactl.transport_client import Reply, TooLarge, failure_reason, is_distrust
from kumactl.urls import Query, with_query
from kumamesh.errors import UserError
from kumamesh.version import PRODUCT

JSON_TYPE = "application/json"
PAGE_SIZE = 1000
MAX_PAGES = 1000
"""Of one list: a million items. Without a bound, small pages would go on for hours."""
_TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Client:
    """Requests to one control plane: UserError when it cannot be reached or talks nonsense, `Refused` when it
    says no."""

    def __init__(self, control_plane: ControlPlane, timeout_s: float) -> None:
        self._url = control_plane.url.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"Accept": JSON_TYPE, "Accept-Encoding": "identity"}
        self._headers |= control_plane.request_headers()
        if control_plane.skip_verify:
            # It was asked for: urllib3 need not say so at every request.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_s or None), retries=False, **_tls(control_plane)
        )

    def close(self) -> None:
        """Close the connections that are kept for further requests."""
        self._pool.clear()

    def get(self, path: str, query: Query = ()) -> dict[str, Any]:
        """The document at a path."""
        return self._document(self._request("GET", path, query=query))

    def get_bytes(self, path: str, query: Query = ()) -> bytes:
        """What is at a path, as it came."""
        return self._request("GET", path, query=query).body

    def get_page(self, path: str, query: Query = ()) -> dict[str, Any]:
        """A page of a list; its items are objects."""
        return self._page(path, query)[0]

    def get_all(
        self, path: str, query: Query = (), *, page_size: int | None = PAGE_SIZE
    ) -> list[dict[str, Any]]:
        """The items of all pages of a list. A `page_size` of None is for lists that have no pages."""
        items: list[dict[str, Any]] = []
        offsets = {""}
        window = [("size", str(page_size))] if page_size else []
        received = 0
        while received <= transport_client.MAX_ANSWER_BYTES:
            page, size = self._page(path, [*query, *window])
            received += size
            items += page["items"]
            offset = next_offset(page)
            if not offset or not page["items"]:
                return items
            if len(offsets) == MAX_PAGES:
                raise self._wrong(f"the list {path} has more than {MAX_PAGES} pages")
            if offset in offsets:
                raise self._wrong(f"the list {path} does not go on: it names the page {plain(offset)} again")
            offsets.add(offset)
            window = [("size", str(page_size or PAGE_SIZE)), ("offset", offset)]
        raise self._wrong(f"the list {path} is larger than {transport_client.MAX_ANSWER_BYTES >> 20} MiB")

    def _page(self, path: str, query: Query) -> tuple[dict[str, Any], int]:
        """A page of a list, and how many bytes it took."""
        reply = self._request("GET", path, query=query)
        page = self._document(reply)
        items = page.get("items")
        if not isinstance(items, list) or len(entries(page, "items")) != len(items):
            raise self._wrong(f"the answer to {path} is no list of resources")
        return page, len(reply.body)

    def put(self, path: str, document: Mapping[str, Any]) -> tuple[bool, list[str]]:
        """(whether it was created, warnings)."""
        reply = self._request("PUT", path, document=document)
        return reply.status == 201, texts(self._document(reply) if reply.body else {}, "warnings")

    def delete(self, path: str) -> None:
        reply = self._request("DELETE", path)
        if reply.body:
            self._document(reply)

    def post_for_token(self, path: str, document: Mapping[str, Any]) -> str:
        """The token that a POST answers with: what is none must not end up in the file of a proxy."""
        body = self._request("POST", path, document=document).body
        if _TOKEN.fullmatch(body) is None:
            raise self._not_an_api()
        return body.decode("ascii")

    def index(self) -> dict[str, Any]:
        """What the control plane says of itself; raises UserError when it is something else."""
        try:
            document = self.get("/")
        except Refused as error:
            # Other servers know no document there; who is not let in has come to the right one.
            if error.status in (401, 403) or error.status >= 500:
                raise
            document = {}
        if document.get("product", document.get("tagline")) != PRODUCT:
            raise self._not_an_api()
        return document

    def _request(
        self, method: str, path: str, *, query: Query = (), document: Mapping[str, Any] | None = None
    ) -> Reply:
        body = None if document is None else json.dumps(document).encode()
        headers = {**self._headers, "Content-Type": JSON_TYPE} if body is not None else self._headers
        url = self._url + with_query(path, query)
        try:
            reply = transport_client.fetch(
                self._pool, method, url, timeout_s=self._timeout_s, body=body, headers=headers
            )
        except urllib3.exceptions.HTTPError as error:
            raise UserError(_unreachable(self._url, error)) from None
        except TooLarge as error:
            raise self._wrong(str(error)) from None
        if not 200 <= reply.status < 300:
            raise refusal(reply.status, reply.body)
        return reply

    def _document(self, reply: Reply) -> dict[str, Any]:
        try:
            document = json.loads(reply.body.decode())
            if b"\\u" in reply.body:
                # Half of a surrogate pair can be said in JSON, but not be shown.
                json.dumps(document, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise self._not_an_api() from None
        if not isinstance(document, dict):
            raise self._not_an_api()
        return document

    def _not_an_api(self) -> UserError:
        return UserError(
            f"{self._url} is not the REST API of a {PRODUCT} control plane; its usual address is {LOCAL_URL}"
        )

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self._url}: {what}; is it the REST API of a {PRODUCT} control plane?")


def next_offset(page: Mapping[str, Any]) -> str:
    """Where the next page of a list begins, "" after the last one. No more is taken from the link: whose host
    it names is not to be trusted."""
    query = text(page, "next").partition("?")[2]
    try:
        return "".join(parse_qs(query, max_num_fields=100).get("offset", [])[:1])
    except ValueError:
        return ""


def _tls(control_plane: ControlPlane) -> dict[str, Any]:
    if not control_plane.url.startswith("https:"):
        return {}
    try:
        context = ssl.create_default_context(cafile=control_plane.ca_cert_file or None)
        if control_plane.client_cert_file:
            context.load_cert_chain(control_plane.client_cert_file, control_plane.client_key_file)
    except (OSError, ssl.SSLError) as error:
        files = (control_plane.ca_cert_file, control_plane.client_cert_file, control_plane.client_key_file)
        named = ", ".join(file for file in files if file)
        raise UserError(f"cannot load the certificate files {named}: {error.strerror or error}") from None
    if control_plane.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {"ssl_context": context}


def _unreachable(url: str, error: urllib3.exceptions.HTTPError) -> str:
    if is_distrust(error):
        return (
            f"the certificate of the control plane at {url} is not trusted; name the file of its CA with "
            "--ca-cert-file of `kumactl config control-planes add` (and --overwrite if it is known already)"
        )
    return (
        f"cannot reach the control plane at {url}: {failure_reason(error)}; start it with `kuma-cp run`, or "
        "choose another one with `kumactl config control-planes add` or `switch`"
    )

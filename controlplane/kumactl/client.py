"""REST client of the control plane."""

from __future__ import annotations

import json
import ssl
import warnings
from collections.abc import Mapping
from typing import Any

import urllib3

from kumactl.configuration import LOCAL_URL, ControlPlane
from kumactl.failure import Refused, refusal
from kumactl.urls import Query, with_query
from kumamesh.errors import UserError
from kumamesh.version import PRODUCT

JSON_TYPE = "application/json"
PAGE_SIZE = 1000


class Client:
    """Requests to one control plane: UserError when it cannot be reached, `Refused` when it says no."""

    def __init__(self, control_plane: ControlPlane, timeout_s: float) -> None:
        self._url = control_plane.url.rstrip("/")
        self._headers = {"Accept": JSON_TYPE, **control_plane.request_headers()}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_s or None), retries=False, **_tls(control_plane)
        )

    def close(self) -> None:
        """Close the connections that are kept for further requests."""
        self._pool.clear()

    def get(self, path: str, query: Query = ()) -> Any:
        """The document at a path."""
        return self._document(self._request("GET", path, query=query))

    def get_all(self, path: str, query: Query = ()) -> list[dict[str, Any]]:
        """The items of all pages of a list."""
        items: list[dict[str, Any]] = []
        while True:
            window = [("size", str(PAGE_SIZE)), ("offset", str(len(items)))]
            page = self.get(path, [*query, *window])
            items += page["items"]
            if not page.get("next") or not page["items"]:
                return items

    def put(self, path: str, document: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
        """(whether it was created, warnings)."""
        response = self._request("PUT", path, document=document)
        answer = self._document(response) if response.data else {}
        return response.status == 201, tuple(answer.get("warnings") or ())

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def post_for_text(self, path: str, document: Mapping[str, Any]) -> str:
        """The text that a POST answers with."""
        return self._request("POST", path, document=document).data.decode()

    def index(self) -> dict[str, Any]:
        """What the control plane says of itself; raises UserError when it is something else."""
        try:
            document = self.get("/")
        except Refused as error:
            # Other servers know no document there; who is not let in has come to the right one.
            if error.status in (401, 403) or error.status >= 500:
                raise
            document = None
        if not isinstance(document, dict) or document.get("product", document.get("tagline")) != PRODUCT:
            raise self._not_an_api()
        return document

    def _request(
        self, method: str, path: str, *, query: Query = (), document: Mapping[str, Any] | None = None
    ) -> urllib3.BaseHTTPResponse:
        body = None if document is None else json.dumps(document).encode()
        headers = {**self._headers, "Content-Type": JSON_TYPE} if body is not None else self._headers
        url = self._url + with_query(path, query)
        try:
            with warnings.catch_warnings():
                # Asked for with --skip-verify: urllib3 need not say so at every request.
                warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
                response = self._pool.request(method, url, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise UserError(_unreachable(self._url, error)) from None
        if not 200 <= response.status < 300:
            raise refusal(response.status, response.data)
        return response

    def _document(self, response: urllib3.BaseHTTPResponse) -> Any:
        try:
            return json.loads(response.data)
        except ValueError:
            raise self._not_an_api() from None

    def _not_an_api(self) -> UserError:
        return UserError(
            f"{self._url} is not the REST API of a {PRODUCT} control plane; its usual address is {LOCAL_URL}"
        )


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
    if _is_distrust(error):
        return (
            f"the certificate of the control plane at {url} is not trusted; configure it again with "
            "`kumactl config control-planes add --overwrite` and --ca-cert-file or --skip-verify"
        )
    return (
        f"cannot reach the control plane at {url}: {failure_reason(error)}; start it with `kuma-cp run`, or "
        "choose another one with `kumactl config control-planes add` or `switch`"
    )


def failure_reason(error: urllib3.exceptions.HTTPError) -> str:
    """Why a server gave no answer."""
    # The order matters: a connection that cannot be made is a timeout too in urllib3's family of errors.
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its host name is not known"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "nobody listens there"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it does not answer in time (--api-timeout)"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "it ends the connection without an answer; perhaps it speaks https"
    if isinstance(error, urllib3.exceptions.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
        return "it does not speak https"
    return "its certificate is not trusted" if _is_distrust(error) else str(error)


def _is_distrust(error: urllib3.exceptions.HTTPError) -> bool:
    return isinstance(error, urllib3.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)

"""What a zone decides about its global: whom it trusts, what it keeps, when it dials again, what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.kds.at_zone.reconnecting import FIRST_PAUSE_S, LIVED_S, LONGEST_PAUSE_S, REFUSED_PAUSE_S, Pauses
from kumacp.kds.at_zone.trouble import Dialled, trouble_of
from kumacp.kds.at_zone.trust import GlobalTrust, Standing
from kumacp.kds.exchange.withheld import Withheld
from kumacp.kds.protocol.messages import Received
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config


def config(name: str, text: str) -> Received:
    return Received("Config", "1", (Resource(ResourceKey("Config", "", name), Config(config=text)),))


ONE, TWO = config("kuma-cluster-id", "one"), config("kuma-cluster-id", "two")


class TestTrust:
    @pytest.mark.parametrize(
        ("remembered", "allowed", "came", "standing", "to_remember"),
        [
            ("", "", ONE, Standing.TRUSTED, "one"),
            ("one", "", ONE, Standing.TRUSTED, None),
            ("one", "", TWO, Standing.FOREIGN, None),
            ("one", "two", TWO, Standing.TRUSTED, "two"),
            ("one", "two", ONE, Standing.FOREIGN, None),
            ("", "two", ONE, Standing.FOREIGN, None),
            ("one", "", config("kuma-default-dns-vips", "one"), Standing.FOREIGN, None),
            ("", "", config("kuma-cluster-id", ""), Standing.TRUSTED, None),
            ("", "", Received("Config", "1"), Standing.TRUSTED, None),
            ("", "", Received("Mesh", "1", ONE.resources), Standing.UNKNOWN, None),
        ],
    )
    def test_the_word_of_one_global_counts(
        self, remembered: str, allowed: str, came: Received, standing: Standing, to_remember: str | None
    ) -> None:
        trust = GlobalTrust(remembered, allowed)
        trust.note(came)
        assert trust.standing is standing
        assert trust.trusted is (standing is Standing.TRUSTED)
        assert trust.to_remember == to_remember

    def test_a_change_under_way_counts(self) -> None:
        trust = GlobalTrust("one", "")
        trust.note(ONE)
        trust.note(TWO)
        assert not trust.trusted
        trust.note(Received("Config", "2"))
        assert not trust.trusted
        trust.note(ONE)
        assert trust.trusted


def key(name: str, type_: str = "Mesh") -> ResourceKey:
    return ResourceKey(type_, "", name)


class TestWithheld:
    def test_what_is_told_of_later_is_not_deleted(self) -> None:
        held = Withheld()
        held.replace("Mesh", [key("b"), key("a"), key("c")])
        held.confirm("Mesh", [key("b"), key("x")])
        held.confirm("Secret", [key("a")])
        assert len(held) == 2
        assert held.take() == (key("a"), key("c"))
        assert held.take() == ()

    def test_a_new_list_takes_the_place_of_the_old_one(self) -> None:
        held = Withheld()
        held.replace("Mesh", [key("a")])
        held.replace("Secret", [key("s", "Secret")])
        held.replace("Mesh", [key("b")])
        assert held.take("Mesh") == (key("b"),)
        assert held.take("Mesh") == ()
        assert held.take() == (key("s", "Secret"),)


class TestPauses:
    @given(chance=st.floats(0, 1, exclude_max=True), times=st.integers(1, 80))
    def test_they_grow_and_are_bounded(self, chance: float, times: int) -> None:
        pauses, refusals = Pauses(), Pauses()
        for _ in range(times):
            pause = pauses.next(lived_s=0.0, refused=False, chance=chance)
            refused = refusals.next(lived_s=0.0, refused=True, chance=chance)
            assert FIRST_PAUSE_S / 2 <= pause <= LONGEST_PAUSE_S
            assert FIRST_PAUSE_S / 2 <= refused <= REFUSED_PAUSE_S
        if times > 10:
            assert pause >= LONGEST_PAUSE_S / 2
            assert refused >= REFUSED_PAUSE_S / 2

    def test_after_a_good_connection_it_goes_at_once(self) -> None:
        pauses = Pauses()
        for _ in range(5):
            pauses.next(lived_s=0.0, refused=False, chance=0.9)
        assert pauses.next(lived_s=LIVED_S, refused=False, chance=0.0) == 0.0
        assert pauses.next(lived_s=LIVED_S, refused=False, chance=0.99) < FIRST_PAUSE_S
        assert pauses.next(lived_s=0.0, refused=False, chance=0.0) > 0.0


LAST = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:5685: "
UNTRUSTED = (
    f"{LAST}Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:"
    "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: "
)
TLS = Dialled("global:5685", tls=True)
SKIP = Dialled("global:5685", tls=True, skip_verify=True)
PLAIN = Dialled("global:5685", tls=False)


class TestTrouble:
    @pytest.mark.parametrize(
        ("dialled", "code", "details", "refused", "parts"),
        [
            (
                TLS,
                "UNAVAILABLE",
                f"{UNTRUSTED}self signed certificate: OK",
                False,
                ["is not trusted", "self signed", "_KDS_ROOT_CA_FILE", "_KDS_TLS_SKIP_VERIFY=true", "system"],
            ),
            (
                Dialled("global:5685", tls=True, trust="/etc/ca.pem"),
                "UNAVAILABLE",
                f"{UNTRUSTED}unable to get local issuer certificate: OK",
                False,
                ["is not trusted", "/etc/ca.pem"],
            ),
            (TLS, "UNAVAILABLE", "CERTIFICATE_VERIFY_FAILED", False, ["is not trusted", "nobody known"]),
            (
                TLS,
                "UNAVAILABLE",
                f"{UNTRUSTED}certificate has expired: OK",
                False,
                ["is not valid now", "renew", "clocks"],
            ),
            (SKIP, "UNAVAILABLE", f"{UNTRUSTED}self signed certificate: OK", False, ["was replaced"]),
            (
                TLS,
                "UNAVAILABLE",
                f"{LAST}Custom verification check failed with error: UNAUTHENTICATED: Hostname Verification"
                " Check failed.",
                False,
                ["another name", "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "_SKIP_VERIFY=true"],
            ),
            (TLS, "UNAVAILABLE", f"{LAST}WRONG_VERSION_NUMBER", False, ["does not speak TLS", "grpc://"]),
            (PLAIN, "UNAVAILABLE", "Socket closed", False, ["grpcs://"]),
            (
                TLS,
                "UNAVAILABLE",
                f"{LAST}connect: Connection refused (111)",
                False,
                [
                    "global:5685 cannot be reached (ipv4:10.0.0.1:5685: connect: Connection refused (111))",
                    "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS",
                ],
            ),
            *(
                (
                    TLS,
                    "UNAVAILABLE",
                    said,
                    False,
                    [
                        "global:5685 cannot be reached (no address is found",
                        "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS",
                    ],
                )
                for said in (
                    "errors resolving global:5685: [field:hostname lookup error:Address lookup failed for"
                    " global:5685 os_error: Temporary failure in name resolution syscall: getaddrinfo]",
                    "DNS resolution failed for global:5685: C-ares status is not ARES_SUCCESS",
                    "Name or service not known",
                )
            ),
            (
                TLS,
                "UNAVAILABLE",
                f"{LAST}Cannot check peer: missing selected ALPN property.",
                False,
                ["not the KDS port", "5685", "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS"],
            ),
            (
                Dialled("global:5685", tls=True, trust="/etc/ca.pem"),
                "UNAVAILABLE",
                f"{LAST}Failed to create security handshaker.",
                False,
                ["no PEM certificate", "/etc/ca.pem", "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE"],
            ),
            (TLS, "DEADLINE_EXCEEDED", "Deadline Exceeded", False, ["it does not answer"]),
            (TLS, "UNAVAILABLE", "", False, ["(unavailable)"]),
            (TLS, "UNAUTHENTICATED", "bring a\ntoken", True, ["refuses this zone: bring a token"]),
            (TLS, "FAILED_PRECONDITION", "another one is there", True, ["another one is there"]),
            (TLS, "UNIMPLEMENTED", "Method not found!", True, ["not the KDS port"]),
            (
                TLS,
                "RESOURCE_EXHAUSTED",
                "CLIENT: Received message larger than max (20 vs. 10)",
                False,
                ["KUMA_MULTIZONE_ZONE_KDS_MAX_MSG_SIZE"],
            ),
        ],
    )
    def test_the_line_names_cause_and_remedy(
        self, dialled: Dialled, code: str, details: str, refused: bool, parts: list[str]
    ) -> None:
        trouble = trouble_of(dialled, code, details)
        assert trouble.refused is refused
        for part in parts:
            assert part in trouble.line

    @given(code=st.sampled_from(["UNAVAILABLE", "UNKNOWN", "INTERNAL", "OK"]), details=st.text())
    def test_it_is_one_bounded_line_whatever_was_said(self, code: str, details: str) -> None:
        line = trouble_of(TLS, code, details).line
        assert line.isprintable()
        assert len(line) < 1_000

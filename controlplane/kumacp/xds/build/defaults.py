"""What Kuma's shipped default policies say, as constants until policies are resources (DESIGN.md 3.17).

All times are in seconds.
"""

from __future__ import annotations

CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 15.0
IDLE_TIMEOUT = 3600.0
STREAM_IDLE_TIMEOUT = 1800.0

# The inbound side waits twice as long, so that the outbound side, which may retry, is the one to give up.
INBOUND_CONNECT_TIMEOUT = 10.0
INBOUND_IDLE_TIMEOUT = 7200.0
INBOUND_STREAM_IDLE_TIMEOUT = 3600.0

MAX_CONNECTIONS = 1024
MAX_PENDING_REQUESTS = 1024
MAX_REQUESTS = 1024
MAX_RETRIES = 1024
"""Kuma has 3: a fourth caller who meets a dead instance at that moment would get a 503 (decision 0018)."""

MAX_REQUESTS_TO_OTHER_ZONES = 1000
"""Of one connection. An ingress spreads connections, not requests: one that stays open for ever would keep
all that it carries with one instance."""

TCP_CONNECT_ATTEMPTS = 5
HTTP_RETRIES = 5
ATTEMPTS_OF_A_PRIORITY = 2
RETRY_BASE_INTERVAL = 0.025
RETRY_MAX_INTERVAL = 0.25

INTERNAL_RANGES = (
    ("10.0.0.0", 8),
    ("192.168.0.0", 16),
    ("172.16.0.0", 12),
    ("fc00::", 7),
    ("fd00::", 8),
    ("127.0.0.1", 32),
    ("::1", 128),
)
"""Default of KUMA_IPAM_KNOWN_INTERNAL_CIDRS."""

LOOPBACK_RANGES = (("127.0.0.1", 32), ("::1", 128))
"""What listeners of the control plane's own business take for internal."""

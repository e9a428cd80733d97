"""All fuzz targets."""

from __future__ import annotations

import fuzz_agent
import fuzz_api
import fuzz_dns
import fuzz_forward
import fuzz_front
import fuzz_health
import fuzz_kds
import fuzz_resources
import fuzz_servers
import fuzz_tokens

ALL = (
    *fuzz_resources.TARGETS,
    *fuzz_tokens.TARGETS,
    *fuzz_api.TARGETS,
    *fuzz_servers.TARGETS,
    *fuzz_health.TARGETS,
    *fuzz_front.TARGETS,
    *fuzz_agent.TARGETS,
    *fuzz_dns.TARGETS,
    *fuzz_forward.TARGETS,
    *fuzz_kds.TARGETS,
)

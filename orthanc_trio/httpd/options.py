"""What the HTTP server can be told. Its limits bound what one client can cost, whatever it sends."""

import ssl

from msgspec import Struct


class HttpOptions(Struct, frozen=True, kw_only=True):
    """The settings of one HTTP server; times in seconds."""

    addresses: tuple[str, ...] = ()
    """The IP addresses to listen on; none is all interfaces of IPv4."""
    port: int = 0
    """0 is any free port."""
    tls: ssl.SSLContext | None = None
    """None is plain HTTP."""
    keep_alive: bool = True
    keep_alive_timeout_s: int = 1
    """What is announced to clients."""
    idle_timeout_s: float = 5
    """How long an idle connection is really kept, if that is longer than announced."""
    request_timeout_s: float = 30
    """Longest wait for a client: for its head, for each part of its body, for room to send."""
    grace_s: float = 2
    """How long running requests may go on after a stop."""
    no_delay: bool = True
    max_connections: int = 1000
    max_head_bytes: int = 64 * 1024
    max_headers: int = 100
    max_target_bytes: int = 16 * 1024
    max_drained_bytes: int = 1024 * 1024
    """The largest part of an unread body that is read away to keep the connection."""

    @property
    def patience_s(self) -> float:
        """How long an idle connection is kept."""
        return max(self.idle_timeout_s, self.keep_alive_timeout_s)

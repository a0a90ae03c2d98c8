"""Where the server of a client command is, and how to log in."""

import base64
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct


class BadAddress(Exception):
    """A URL that does not name a server."""


class Address(Struct, frozen=True):
    """The base URL of a server, without a slash at its end and without its user."""

    url: str
    authorization: str | None
    """The value of the header, if the URL names a user."""

    def headers(self) -> dict[str, str]:
        """Return the headers that every request bears."""
        return {"Authorization": self.authorization} if self.authorization else {}

    @property
    def is_secure(self) -> bool:
        """Whether the server speaks TLS."""
        return self.url.startswith("https:")

    @property
    def place(self) -> str:
        """The host as a URL writes it, with the port if one is given."""
        return urlsplit(self.url).netloc

    @property
    def endpoint(self) -> tuple[str, int]:
        """The host and the port to connect to."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if self.is_secure else 80)

    def resource(self, *path: str) -> str:
        """Return the path of a request below the base, quoted."""
        return "/".join((urlsplit(self.url).path, *(quote(part, safe="") for part in path)))


def parse_address(url: str) -> Address:
    """Return the address in `[http[s]://][user[:password]@]host[:port][/path]`. Raises BadAddress."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadAddress("The URL of the server is not valid") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise BadAddress("The URL of the server must be http[s]://[USER:PASSWORD@]HOST[:PORT]")
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port is not None else ""
    authorization = None
    if parts.username is not None:
        authorization = _basic(unquote(parts.username), unquote(parts.password or ""))
    return Address(f"{parts.scheme}://{place}{parts.path.rstrip('/')}", authorization)


def _basic(user: str, password: str) -> str:
    credentials = base64.b64encode(f"{user}:{password}".encode())
    return f"Basic {credentials.decode()}"

"""A websocket as a handler sees it. Handlers are `async (context, websocket, **path)`.

The door has checked access.
"""

from collections.abc import Sequence

from .asgi import Receive, Scope, Send

_TEXTS = "websocket.texts"
_REFUSAL = "websocket.http.response"
_POLICY_VIOLATION = 1008
GOING_AWAY = 1001
"""The server stops. Source: RFC 6455 §7.4.1."""
NORMAL = 1000


class WebSocket:
    """One websocket that only sends: what the client says is read and forgotten."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._extensions = scope.get("extensions", ())
        self._receive = receive
        self._send = send

    async def accept(self) -> None:
        """Answer the handshake."""
        await self._receive()
        await self._send({"type": "websocket.accept"})

    async def refuse(self, status: int, *headers: tuple[str, str]) -> None:
        """Answer the handshake with a status and no body."""
        await self._receive()
        if _REFUSAL not in self._extensions:
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        lines = [(name.lower().encode(), value.encode()) for name, value in headers]
        lines.append((b"content-length", b"0"))
        await self._send({"type": f"{_REFUSAL}.start", "status": status, "headers": lines})
        await self._send({"type": f"{_REFUSAL}.body", "body": b"", "more_body": False})

    async def send(self, texts: Sequence[bytes]) -> None:
        """Send messages, in one write if the server can. Raises an OSError when the client has left."""
        if _TEXTS in self._extensions:
            await self._send({"type": _TEXTS, "texts": texts})
            return
        for text in texts:
            await self._send({"type": "websocket.send", "text": text.decode()})

    async def close(self, code: int) -> None:
        """End the websocket."""
        await self._send({"type": "websocket.close", "code": code})

    async def wait_gone(self) -> None:
        """Return when the client has left. Must run while messages are sent: it answers pings too."""
        while (await self._receive())["type"] != "websocket.disconnect":
            pass

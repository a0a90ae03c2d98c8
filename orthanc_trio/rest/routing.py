"""From method and path to handler. A module of `routes/` fills a `Routes`; the door has one `Router`.

A pattern is made of words and of parameters: `{id}` is one component of the path, `{path:path}` (only at the
end) is all that remains. Words win over parameters.

Every route is in the OpenAPI document (`rest/openapi.py`) as it is declared here. The first line of the
handler's docstring is its summary (else its name), the rest the description; `doc=Doc(...)` adds what neither
the pattern nor the docstring tell: arguments of the URL, body and answer.

    @routes.get("/tools/generate-uid", doc=Doc(query=(Argument("level", str),), answer="text/plain"))
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from msgspec import Struct

Handler = Callable[..., Awaitable[Any]]
"""`async (context, request, **parameters) -> AnyAnswer`; of a websocket without an answer."""
HandlerT = TypeVar("HandlerT", bound=Handler)

METHODS = ("GET", "POST", "PUT", "DELETE")
"""The methods of the API, in the order of the header `Allow`."""


class Argument(Struct, frozen=True):
    """An argument of the URL, or a header, for the OpenAPI document."""

    name: str
    type: Any = str
    """`str`, `bool`, `int`, `float`, an enum, or anything that msgspec has a JSON schema for."""
    text: str = ""
    is_required: bool = False


class Doc(Struct, frozen=True, kw_only=True):
    """What the OpenAPI document says of a route beyond its pattern and the docstring of its handler."""

    query: tuple[Argument, ...] = ()
    headers: tuple[Argument, ...] = ()
    """Headers of the request that change the answer."""
    body: Any = None
    """The type of a JSON body (a Struct, `list[str]`, ...), or one or several media types as text."""
    answer: Any = None
    """The type of a JSON answer, or one or several media types as text; None leaves it open."""


UNDOCUMENTED = Doc()


class Route(Struct, frozen=True, kw_only=True):
    """One handler under one method and pattern."""

    method: str
    pattern: str
    handler: Handler
    is_hot: bool
    """Whether the door calls the handler itself, without Quart."""
    doc: Doc = UNDOCUMENTED


class Routes:
    """The routes of one module, in the order of their declaration."""

    def __init__(self) -> None:
        self.all: list[Route] = []

    def get(
        self, pattern: str, *, hot: bool = False, doc: Doc = UNDOCUMENTED
    ) -> Callable[[HandlerT], HandlerT]:
        """Mount a handler of GET."""
        return self.add("GET", pattern, hot=hot, doc=doc)

    def post(
        self, pattern: str, *, hot: bool = False, doc: Doc = UNDOCUMENTED
    ) -> Callable[[HandlerT], HandlerT]:
        """Mount a handler of POST."""
        return self.add("POST", pattern, hot=hot, doc=doc)

    def put(
        self, pattern: str, *, hot: bool = False, doc: Doc = UNDOCUMENTED
    ) -> Callable[[HandlerT], HandlerT]:
        """Mount a handler of PUT."""
        return self.add("PUT", pattern, hot=hot, doc=doc)

    def delete(
        self, pattern: str, *, hot: bool = False, doc: Doc = UNDOCUMENTED
    ) -> Callable[[HandlerT], HandlerT]:
        """Mount a handler of DELETE."""
        return self.add("DELETE", pattern, hot=hot, doc=doc)

    def head(self, pattern: str) -> Callable[[HandlerT], HandlerT]:
        """Mount a handler of HEAD, which answers as to GET; the door sends no body and asks for none.

        Always hot, since Quart would take a handler of GET.
        """
        return self.add("HEAD", pattern, hot=True)

    def add(
        self, method: str, pattern: str, *, hot: bool = False, doc: Doc = UNDOCUMENTED
    ) -> Callable[[HandlerT], HandlerT]:
        """Mount a handler of any method; those beyond the API and HEAD only work below `/webdav`."""

        def decorate(handler: HandlerT) -> HandlerT:
            self.all.append(Route(method=method, pattern=pattern, handler=handler, is_hot=hot, doc=doc))
            return handler

        return decorate


class Match(Struct, frozen=True, gc=False):
    """A route that serves a request, with the values of its parameters."""

    route: Route
    parameters: dict[str, str]


class WrongMethod(Struct, frozen=True):
    """A path that exists, but not under this method."""

    allowed: tuple[str, ...]


class _Leaf:
    """The routes of one pattern, by method, with the names that each gives to the parameters."""

    def __init__(self) -> None:
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}


class _Node:
    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.leaf: _Leaf | None = None
        self.rest: _Leaf | None = None


class Router:
    """All routes of the server. Making it raises ValueError for two handlers of one method and pattern."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._static: dict[str, _Leaf] = {}
        self._root = _Node()
        for route in routes:
            self._add(route)
        self.match = lru_cache(_MOST_REMEMBERED)(self._match)
        """`(method, path)`: find the route of a normalised path; None if no pattern fits it.

        A pattern with more parameters serves a method that the better one lacks. What is asked for again,
        as by those who poll, is found at once.
        """

    def _add(self, route: Route) -> None:
        leaf, names = self._leaf_of(route.pattern)
        if route.method in leaf.routes:
            raise ValueError(f"two handlers for {route.method} {route.pattern}")
        leaf.routes[route.method] = (route, names)

    def _leaf_of(self, pattern: str) -> tuple[_Leaf, tuple[str, ...]]:
        names: list[str] = []
        node = self._root
        for part in components(pattern):
            if part.endswith(":path}"):
                node.rest = node.rest or _Leaf()
                return node.rest, (*names, part[1:-6])
            if part.startswith("{"):
                names.append(part[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.words.setdefault(part, _Node())
        node.leaf = node.leaf or _Leaf()
        if not names:
            self._static[pattern] = node.leaf
        return node.leaf, tuple(names)

    def _match(self, method: str, path: str) -> Match | WrongMethod | None:
        values: list[str] = []
        leaf = self._static.get(path) or _find(self._root, components(path), values)
        if leaf is None:
            return None
        if method not in leaf.routes:
            values.clear()
            other = _find(self._root, components(path), values, method=method)
            if other is None:
                return self._wrong_method(leaf, path)
            leaf = other
        route, names = leaf.routes[method]
        return Match(route, dict(zip(names, values, strict=True)) if names else _NOTHING)

    def _wrong_method(self, leaf: _Leaf, path: str) -> WrongMethod:
        """Return the methods of all patterns that fit a path, of which `leaf` is the best."""
        parts = components(path)
        known = [method for method in METHODS if _find(self._root, parts, [], method=method)]
        return WrongMethod(allowed=(*known, *sorted(leaf.routes.keys() - set(METHODS))))


_NOTHING: dict[str, str] = {}
_MOST_REMEMBERED = 256


def components(path: str) -> list[str]:
    """Split a path at its slashes, without empty components."""
    return [part for part in path.split("/") if part]


def _find(
    node: _Node, parts: list[str], values: list[str], depth: int = 0, *, method: str | None = None
) -> _Leaf | None:
    """Return the best leaf, of those that have a route of `method` (None: any); append its parameters."""
    if depth == len(parts):
        return node.leaf if _serves(node.leaf, method) else None
    part = parts[depth]
    child = node.words.get(part)
    if child is not None and (leaf := _find(child, parts, values, depth + 1, method=method)) is not None:
        return leaf
    if node.parameter is not None:
        values.append(part)
        if (leaf := _find(node.parameter, parts, values, depth + 1, method=method)) is not None:
            return leaf
        values.pop()
    if node.rest is None or not _serves(node.rest, method):
        return None
    values.append("/".join(parts[depth:]))
    return node.rest


def _serves(leaf: _Leaf | None, method: str | None) -> bool:
    return leaf is not None and (method is None or method in leaf.routes)


def quart_rule(pattern: str) -> str:
    """Translate a pattern into the language of Quart."""
    parts = [_quart_part(part) for part in components(pattern)]
    return "/" + "/".join(parts)


def _quart_part(part: str) -> str:
    if part.endswith(":path}"):
        return f"<path:{part[1:-6]}>"
    return f"<{part[1:-1]}>" if part.startswith("{") else part

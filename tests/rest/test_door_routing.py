import pytest

from orthanc_trio.rest.routing import Match, Router, Routes, WrongMethod, quart_rule
from orthanc_trio.rest.wire import Answer, AnyAnswer


async def handler(context: object, request: object, **parameters: str) -> AnyAnswer:
    return Answer()


def router(*patterns: str) -> Router:
    routes = Routes()
    for pattern in patterns:
        method, path = pattern.split()
        routes.add(method, path)(handler)
    return Router(routes.all)


def found(router: Router, method: str, path: str) -> tuple[str, dict[str, str]]:
    match = router.match(method, path)
    assert isinstance(match, Match)
    return match.route.pattern, match.parameters


def test_words_win_over_parameters_and_parameters_over_the_rest() -> None:
    table = router("GET /a/{x}", "GET /a/b", "GET /a/{x}/c", "GET /a/{rest:path}")
    assert found(table, "GET", "/a/b") == ("/a/b", {})
    assert found(table, "GET", "/a/z") == ("/a/{x}", {"x": "z"})
    assert found(table, "GET", "/a/b/c") == ("/a/{x}/c", {"x": "b"})
    assert found(table, "GET", "/a/b/d/e") == ("/a/{rest:path}", {"rest": "b/d/e"})


def test_a_method_that_the_word_lacks_is_that_of_the_parameter() -> None:
    table = router("POST /jobs/{id}/cancel", "GET /jobs/{job}/{key}", "GET /a/b", "PUT /a/{rest:path}")
    assert found(table, "POST", "/jobs/1/cancel") == ("/jobs/{id}/cancel", {"id": "1"})
    assert found(table, "GET", "/jobs/1/cancel") == ("/jobs/{job}/{key}", {"job": "1", "key": "cancel"})
    assert found(table, "PUT", "/a/b") == ("/a/{rest:path}", {"rest": "b"})
    assert table.match("DELETE", "/jobs/1/cancel") == WrongMethod(("GET", "POST"))


def test_the_names_of_parameters_are_those_of_the_route() -> None:
    table = router("GET /jobs/{id}", "POST /jobs/{job}/cancel", "GET /jobs/{id}/{key}")
    assert found(table, "GET", "/jobs/1") == ("/jobs/{id}", {"id": "1"})
    assert found(table, "POST", "/jobs/1/cancel") == ("/jobs/{job}/cancel", {"job": "1"})
    assert found(table, "GET", "/jobs/1/archive") == ("/jobs/{id}/{key}", {"id": "1", "key": "archive"})


def test_the_root_is_a_path() -> None:
    assert found(router("GET /"), "GET", "/") == ("/", {})


@pytest.mark.parametrize("path", ["/", "/b", "/a", "/a/b/c", "/ab"])
def test_what_no_pattern_fits_is_unknown(path: str) -> None:
    assert router("GET /a/{x}").match("GET", path) is None


def test_the_methods_of_a_path_come_in_their_order() -> None:
    table = router("DELETE /a", "PUT /a", "GET /a", "PROPFIND /a")
    assert table.match("POST", "/a") == WrongMethod(("GET", "PUT", "DELETE", "PROPFIND"))


def test_two_handlers_of_one_url_and_method_are_refused() -> None:
    with pytest.raises(ValueError, match="GET /a"):
        router("GET /a", "GET /a")
    with pytest.raises(ValueError, match="GET /a"):
        router("GET /a/{x}", "GET /a/{y}")


def test_patterns_are_told_to_quart_in_its_language() -> None:
    assert quart_rule("/a/{x}/b/{rest:path}") == "/a/<x>/b/<path:rest>"
    assert quart_rule("/") == "/"

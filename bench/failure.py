"""What stops a question: a wrong answer must not look fast."""


class BenchError(Exception):
    """A server could not be started or gave a wrong answer; the text says which."""


def require(condition: bool, text: str) -> None:
    """Raise BenchError with `text` unless `condition` holds."""
    if not condition:
        raise BenchError(text)

"""The name that a download is to have. Source: RFC 6266; the Orthanc Book, argument `filename`."""


def content_disposition(filename: str) -> tuple[tuple[str, str], ...]:
    """Return the header with a name that a client chose, none for an empty one."""
    return (name_of_stream(filename),) if filename else ()


def name_of_stream(filename: str) -> tuple[str, str]:
    """Return the header, without quotes and control characters; a stream has it also with an empty name."""
    safe = filename
    if not filename.isprintable() or '"' in filename:
        safe = "".join(character for character in filename if character >= " " and character not in '"\x7f')
    return "Content-Disposition", f'filename="{safe}"'

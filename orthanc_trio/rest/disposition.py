"""The name that a download is to have. Source: RFC 6266; the Orthanc Book, argument `filename`."""


def content_disposition(filename: str) -> tuple[str, str]:
    """Return the header with a name that a client chose: without quotes and control characters."""
    safe = filename
    if not filename.isprintable() or '"' in filename:
        safe = "".join(character for character in filename if character >= " " and character not in '"\x7f')
    return "Content-Disposition", f'filename="{safe}"'

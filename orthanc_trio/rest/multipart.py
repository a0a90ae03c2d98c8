"""Uploads from an HTML form: every part is stored as if it were posted alone. Source: RFC 7578."""

import logging
from collections.abc import AsyncIterator

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from ..model.errors import BadFileFormat, OrthancError
from ..services.ingest import Origin
from ..services.upload import Upload
from .wire import Request

_logger = logging.getLogger(__name__)

_MAX_PARTS = 10_000
_MAX_HEAD_BYTES = 1 << 20


class BrokenForm(BadFileFormat):
    """A body that says it is a form and is none, or that ends early."""


def boundary_of(request: Request) -> bytes | None:
    """Return the boundary of a form, None if the body is none. Raises BrokenForm if it is missing."""
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type != "multipart/form-data":
        return None
    if not options.get("boundary"):
        raise BrokenForm("Missing boundary in a multipart body")
    return options["boundary"].encode("latin-1", "replace")


async def store_parts(
    upload: Upload, chunks: AsyncIterator[bytes | bytearray], boundary: bytes, origin: Origin
) -> None:
    """Store each part; what is no DICOM is passed over, since the answer cannot tell.

    Raises BrokenForm for a body that is no form, and errors of the storage.
    """
    events = _events(chunks, boundary)
    async for event in events:
        if isinstance(event, File | Field):
            part = _part(events)
            try:
                await upload.store(part, origin)
            except OrthancError as error:
                if isinstance(error, BrokenForm) or error.http_status >= 500:
                    raise
                _logger.info("A part of a form was not stored: %s", error.details or error.code.description)
            async for _ in part:
                pass  # the rest of what was refused


async def _events(chunks: AsyncIterator[bytes | bytearray], boundary: bytes) -> AsyncIterator[Event]:
    decoder = MultipartDecoder(boundary, max_form_memory_size=_MAX_HEAD_BYTES, max_parts=_MAX_PARTS)
    try:
        async for chunk in chunks:
            decoder.receive_data(bytes(chunk))
            while not isinstance(event := decoder.next_event(), NeedData):
                yield event
        decoder.receive_data(None)
        while not isinstance(event := decoder.next_event(), Epilogue):
            yield event
    except (ValueError, RequestEntityTooLarge) as error:
        raise BrokenForm("Badly formatted multipart body") from error


async def _part(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    async for event in events:
        if isinstance(event, Data):
            yield event.data
            if not event.more_data:
                return

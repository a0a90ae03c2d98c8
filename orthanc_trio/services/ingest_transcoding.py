"""Transcode new instances before they are stored. Source: the Orthanc Book, `IngestTranscoding`."""

from msgspec import Struct

from ..dicom.parse import ParsedInstance
from ..dicom.transfer_syntax import Coding, find_syntax
from ..model.errors import ParameterOutOfRange
from .transcoding import MAX_FILE_BYTES, InWorker, transcode_files


class TranscodingRules(Struct, frozen=True, kw_only=True):
    """Which instances get another transfer syntax: `syntax`, the UID of one."""

    syntax: str
    of_uncompressed: bool = True
    of_compressed: bool = True
    quality: int = 90


class IngestTranscoder:
    """Transcodes instances in worker processes. Raises ParameterOutOfRange for an unknown transfer syntax."""

    def __init__(self, rules: TranscodingRules, in_worker: InWorker) -> None:
        target = find_syntax(rules.syntax)
        if target is None:
            raise ParameterOutOfRange(f"Unknown transfer syntax in IngestTranscoding: {rules.syntax}")
        self._target = target
        self._rules = rules
        self._in_worker = in_worker

    def applies_to(self, parsed: ParsedInstance, size: int) -> bool:
        """Return whether a file of `size` bytes is to be transcoded."""
        source = find_syntax(parsed.transfer_syntax)
        if source is None or source is self._target or size > MAX_FILE_BYTES:
            return False
        if source.is_native:
            has_pixels = parsed.pixel_data_offset is not None
            return self._rules.of_uncompressed and (has_pixels or self._target.is_native)
        return self._rules.of_compressed and source.coding is not Coding.VIDEO

    async def transcode(self, data: bytes, *, keeps_uid: bool = False) -> bytes | None:
        """Return the transcoded file, None if it cannot be done: then it is stored as it is.

        `keeps_uid` leaves an instance its SOP Instance UID, even if its pixels are not the same any more.
        """
        rules = self._rules
        [result] = await transcode_files(
            self._in_worker, (data,), rules.syntax, rules.quality, keeps_uid=keeps_uid
        )
        return result

"""DICOM files from one transfer syntax to another: work for a process, as it holds the GIL for long.

The codecs are large; only a process that transcodes loads them.
"""

import warnings
from typing import Final

from .transfer_syntax import find_syntax

DEFAULT_QUALITY: Final = 90


def transcode(
    data: bytes, syntax: str, quality: int = DEFAULT_QUALITY, *, keeps_uid: bool = False
) -> bytes | None:
    """Return a DICOM file in the transfer syntax `syntax`: `data` itself if it has it already.

    A lossy target (`quality` 1 to 100, beyond that the nearest) gives another instance, with a SOP Instance
    UID of its own, unless `keeps_uid`; without pixels nothing is lost. None if it cannot be done: the codecs
    do not read or write that for these pixels, or there are too many, or damaged ones. Blocks.
    """
    from .recode import recode_file

    target = find_syntax(syntax)
    if target is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd in a file is no news here
            return recode_file(data, target, quality, keeps_uid=keeps_uid)
    except Exception:
        # pydicom and codecs raise anything for what they have not met before, and it all means the same.
        return None

"""Which routes a server offers: a read-only one none that changes what is stored. Source: `ReadOnly`,
`PatientLevelEnabled`.
"""

import re

from .routing import Route

# Those that change nothing although they are not GET: downloads, checks, and the export to the disk.
_RESOURCES = re.compile(r"/(patients|studies|series|instances)(/.*)?")
_READING = re.compile(r".*/(archive|media|verify-md5|export)")
_WRITING = re.compile(
    r"/(changes|exports|tools/(bulk-(anonymize|delete|modify)|create-dicom|invalidate-tags|reconstruct))"
)
_PATIENTS = re.compile(r"/patients(/.*)?")


def is_offered(route: Route, *, is_read_only: bool, has_patients: bool) -> bool:
    """Return whether a server with these options has the route."""
    if not has_patients and _PATIENTS.fullmatch(route.pattern):
        return False
    return not (is_read_only and changes_storage(route))


def changes_storage(route: Route) -> bool:
    """Return whether a route changes the index or the stored files."""
    if route.method in ("GET", "HEAD"):
        return False
    is_reading = _READING.fullmatch(route.pattern) is not None
    is_of_resources = _RESOURCES.fullmatch(route.pattern) is not None
    return (is_of_resources and not is_reading) or _WRITING.fullmatch(route.pattern) is not None

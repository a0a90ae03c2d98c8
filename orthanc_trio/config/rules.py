"""What options must hold together, and values that are normalised. Users are the business of the HTTP door.

Source: the Orthanc Book, "Configuration of Orthanc".
"""

import ipaddress

import msgspec

from ..model.errors import (
    BadApplicationEntityTitle,
    BadFileFormat,
    IncompatibleConfigurations,
    ParameterOutOfRange,
)
from .choice import OverwriteInstances
from .dictionary import own_tags
from .settings import Settings
from .webhook import check_webhooks

_DEFAULT_STABLE_AGE_S = 60
_LONGEST_TITLE = 16  # PS3.5 §6.2, AE


def checked(settings: Settings) -> Settings:
    """Return the settings with normalised values.

    Raises IncompatibleConfigurations where options contradict each other, BadFileFormat, ParameterOutOfRange
    or BadApplicationEntityTitle for a title that no application entity can have; UnknownDicomTag for an entry
    of the dictionary.
    """
    _check_overwriting(settings)
    _check_patient_level(settings)
    _check_addresses(settings)
    check_webhooks(settings.webhooks)
    list(own_tags(settings.dictionary))
    return msgspec.structs.replace(
        settings,
        dicom_aet=application_entity_title(settings.dicom_aet),
        stable_age=settings.stable_age if settings.stable_age > 0 else _DEFAULT_STABLE_AGE_S,
    )


def application_entity_title(text: str) -> str:
    """Return the title without outer spaces. Source: PS3.5 §6.2, value representation AE."""
    if not text.isascii() or not text.isprintable() or "\\" in text:
        raise BadFileFormat(
            'The configuration option "DicomAet" must be ASCII without control characters and backslashes'
        )
    title = text.strip()
    if not title:
        raise ParameterOutOfRange('The configuration option "DicomAet" must not be empty')
    if len(title) > _LONGEST_TITLE:
        raise BadApplicationEntityTitle(
            f'The configuration option "DicomAet" must have at most {_LONGEST_TITLE} characters'
        )
    return title


def _check_overwriting(settings: Settings) -> None:
    if (
        settings.overwrite_instances is OverwriteInstances.IF_CHANGED
        and not settings.store_md5_for_attachments
    ):
        raise IncompatibleConfigurations(
            'The configuration option "OverwriteInstances": "IfChanged" needs "StoreMD5ForAttachments": true'
        )


def _check_patient_level(settings: Settings) -> None:
    limits = {
        "MaximumPatientCount": settings.maximum_patient_count,
        "MaximumStorageSize": settings.maximum_storage_size,
    }
    for name, limit in limits.items():
        if limit and not settings.patient_level_enabled:
            raise IncompatibleConfigurations(
                f'The configuration option "{name}" must be 0 if "PatientLevelEnabled" is false'
            )


def _check_addresses(settings: Settings) -> None:
    for address in settings.http_bind_addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ParameterOutOfRange(
                f'The configuration option "HttpBindAddresses" must contain IP addresses: {address}'
            ) from None

"""Modify and anonymise: one instance, which is answered, or resources of any level, by a job.

Source: the Orthanc Book, "Anonymization and modification of DICOM files".
"""

import secrets
from typing import Any, Final

from msgspec import Struct

from ...dicom.modification import Modification
from ...dicom.modification_request import anonymization_of_body, level_of_body, modification_of_body
from ...dicom.transfer_syntax import find_syntax
from ...kinds.modify import NAME, ModifyArgs
from ...model.errors import BadFileFormat, ParameterOutOfRange, UnknownResource
from ...model.resource import Attachment, Compression, ResourceLevel
from ...services.anonymization_number import with_patient_name
from ...services.context import ServerContext
from ...services.embedded import with_embedded
from ...services.ingest import Origin, OriginName, ResourceIds
from ...services.rewriting import Recipe, Source, Transcoding
from ...services.rewriting_preview import preview, preview_json
from ..bodies import AnonymizeBody, BulkAnonymizeBody, BulkModifyBody, ModifyBody, declared
from ..fields import Fields, decode_json
from ..job_answers import job_options, run_and_answer
from ..routing import Doc, Routes
from ..wire import Answer, AnyAnswer, FileAnswer, Request, json_answer

_DICOM: Final = "application/dicom"
_KEY_BYTES: Final = 32

routes = Routes()


def _mount_instance(word: str, *, is_anonymization: bool) -> None:
    shape = AnonymizeBody if is_anonymization else ModifyBody

    @routes.post(f"/instances/{{id}}/{word}", doc=Doc(body=shape, answer="application/dicom"))
    async def answer_file(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        body = await _body(context, request, shape)
        modification = _modification(context, body, is_anonymization=is_anonymization)
        return await _make_file(context, request, id, Fields(body), modification)


def _mount_level(level: ResourceLevel, word: str, *, is_anonymization: bool) -> None:
    shape = AnonymizeBody if is_anonymization else ModifyBody

    @routes.post(f"/{level.collection}/{{id}}/{word}", doc=Doc(body=shape, answer=dict[str, Any]))
    async def run_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        body = await _body(context, request, shape)
        modification = _modification(context, body, level, is_anonymization=is_anonymization)
        return await _run(context, request, body, modification, (id,), level)


def _mount_bulk(word: str, *, is_anonymization: bool) -> None:
    shape = BulkAnonymizeBody if is_anonymization else BulkModifyBody

    @routes.post(f"/tools/bulk-{word}", doc=Doc(body=shape, answer=dict[str, Any]))
    async def run_job(context: ServerContext, request: Request) -> AnyAnswer:
        body = await _body(context, request, shape)
        level = None if is_anonymization else level_of_body(body)
        modification = _modification(context, body, level, is_anonymization=is_anonymization)
        return await _run(context, request, body, modification, Fields(body).texts("Resources"), None)


for _word, _is_anonymization in (("modify", False), ("anonymize", True)):
    _mount_instance(_word, is_anonymization=_is_anonymization)
    for _level in (ResourceLevel.PATIENT, ResourceLevel.STUDY, ResourceLevel.SERIES):
        _mount_level(_level, _word, is_anonymization=_is_anonymization)
    _mount_bulk(_word, is_anonymization=_is_anonymization)


async def _body(context: ServerContext, request: Request, shape: type[Struct]) -> dict[str, Any]:
    members = decode_json(await request.body(), BadFileFormat())
    if not isinstance(members, dict):
        raise BadFileFormat
    body = declared(members, shape)
    replaced = body.get("Replace")
    if isinstance(replaced, dict):
        body["Replace"] = await with_embedded(replaced, context.dictionary, context.workers.run)
    return body


def _modification(
    context: ServerContext, body: Any, level: ResourceLevel | None = None, *, is_anonymization: bool
) -> Modification:
    creator, dictionary = context.settings.default_private_creator, context.dictionary
    if is_anonymization:
        return anonymization_of_body(body, private_creator=creator, dictionary=dictionary)
    return modification_of_body(body, level=level, private_creator=creator, dictionary=dictionary)


def _transcoding(
    context: ServerContext,
    fields: Fields,
    error: type[BadFileFormat] | type[ParameterOutOfRange],
    text: str,
) -> Transcoding | None:
    """Read `Transcode` and, only with it, `LossyQuality`. Raises BadFileFormat, or `error` with `text`."""
    if "Transcode" not in fields:
        return None
    syntax = fields.text("Transcode", "")
    if find_syntax(syntax) is None:
        raise error(f"{text}: {syntax}")
    quality = fields.integer("LossyQuality", context.settings.dicom_lossy_transcoding_quality)
    return Transcoding(syntax, min(max(quality, 1), 100))


def _origin(request: Request) -> Origin:
    return Origin(name=OriginName.REST_API, remote_ip=request.client, username=request.user)


async def _make_file(
    context: ServerContext, request: Request, id: str, fields: Fields, modification: Modification
) -> AnyAnswer:
    """Answer a modified instance, of which nothing is stored."""
    _keeps_labels(fields)  # of no use here, and yet of the right type
    transcoding = _transcoding(context, fields, ParameterOutOfRange, "Unknown transfer syntax")
    description = await context.library.describe(ResourceLevel.INSTANCE, id)
    if description is None or description.facts.dicom is None:
        raise UnknownResource
    file = description.facts.dicom
    is_dry_run = fields.boolean("DryRun", False)
    modification = await with_patient_name(context.index, modification, is_dry_run=is_dry_run)
    recipe = Recipe(
        modification=modification,
        key=context.rewriting.key(modification, secrets.token_bytes(_KEY_BYTES)),
        origin=_origin(request),
        transcoding=transcoding,
    )
    source = Source(ResourceIds("", "", "", id), file)
    if is_dry_run:
        return await _answer_preview(context, recipe, source)
    head, offset = await context.rewriting.begin(recipe, context.workers.run).make(source)
    if offset is None:
        return Answer(body=head, media_type=_DICOM)
    content = await _open(context, id, file)
    if isinstance(content, bytes):
        return Answer(body=head + content[offset:], media_type=_DICOM)
    descriptor, start = content
    size = max(0, file.uncompressed_size - offset)
    return FileAnswer(descriptor=descriptor, offset=start + offset, size=size, prefix=head, media_type=_DICOM)


async def _answer_preview(context: ServerContext, recipe: Recipe, source: Source) -> Answer:
    """Answer what would become of one instance."""
    options = context.rewriting.present_options
    previews = await preview(context.storage, context.workers.run, recipe, options, [source], threads=1)
    [error] = [one.error for one in previews]
    if error is not None:
        raise error
    return json_answer(preview_json(previews, context.dictionary))


async def _open(context: ServerContext, id: str, file: Attachment) -> tuple[int, int] | bytes:
    """Open the local file that holds the content of an instance, or return the content."""
    if file.compression == Compression.NONE:
        return await context.library.open_file(id, file)
    return await context.library.read_content(file)


async def _run(
    context: ServerContext,
    request: Request,
    body: dict[str, Any],
    modification: Modification,
    resources: tuple[str, ...],
    level: ResourceLevel | None,
) -> AnyAnswer:
    """Submit the job, and wait for it unless the caller does not."""
    options, fields = job_options(request, body), Fields(body)
    is_dry_run = fields.boolean("DryRun", False)
    args = ModifyArgs(
        modification=await with_patient_name(context.index, modification, is_dry_run=is_dry_run),
        resources=resources,
        key=secrets.token_bytes(_KEY_BYTES),
        origin=_origin(request),
        level=level,
        keeps_source=fields.boolean("KeepSource", True),
        keeps_labels=_keeps_labels(fields),
        is_permissive=fields.boolean("Permissive", False),
        transcoding=_transcoding(context, fields, BadFileFormat, "Unknown transfer syntax UID"),
        is_atomic=fields.boolean("Atomic", False),
        removes_secondary_captures=fields.boolean("RemoveSecondaryCaptures", False),
        is_dry_run=is_dry_run,
    )
    return await run_and_answer(context, NAME, args, options)


def _keeps_labels(fields: Fields) -> bool:
    value: Any = fields.any("KeepLabels")
    if "KeepLabels" in fields and not isinstance(value, bool):
        raise BadFileFormat('Member "KeepLabels" should be a Boolean value')
    return bool(value)

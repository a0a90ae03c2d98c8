"""Files and the environment become settings, or an error that says where the mistake is."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from orthanc_trio.config.choice import OverwriteInstances
from orthanc_trio.config.load import Loaded, Source, load, parse
from orthanc_trio.config.option import options
from orthanc_trio.config.sample import sample
from orthanc_trio.config.settings import Settings
from orthanc_trio.model.errors import (
    BadApplicationEntityTitle,
    BadFileFormat,
    BadParameterType,
    IncompatibleConfigurations,
    InexistentFile,
    OrthancError,
    ParameterOutOfRange,
)

FOLDER = Path("/etc/orthanc")
SHIPPED = Path(__file__).parents[2] / "configuration.json"


def parsed(text: str, environment: Mapping[str, str] | None = None) -> Loaded:
    return parse([Source("a.json", text)], environment or {}, FOLDER)


def settings_of(text: str, environment: Mapping[str, str] | None = None) -> Settings:
    loaded = parsed(text, environment)
    assert loaded.warnings == ()
    return loaded.settings


# Syntax


def test_comments_and_a_last_comma_are_allowed() -> None:
    text = """\ufeff
    // a line
    { /* a block, "HttpPort": 1, */
      "Name": "http://a /* b */ // c, }", // the text stays
      "HttpPort": 80 , /* last */
      "LuaScripts": [ ], "ExtraMainDicomTags": {"Series": ["Laterality", "Rows",], },
    }
    """

    settings = settings_of(text.lstrip("\ufeff"))

    assert settings.name == "http://a /* b */ // c, }"
    assert settings.http_port == 80
    assert settings.extra_main_dicom_tags == {"Series": ("Laterality", "Rows")}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        ('{\n  "HttpPort": 80\n  "Name": "x"\n}', "line 3, column 3"),
        ('{\n/* two\nlines */ "Name": }', "line 3, column 18"),
        ('{"StorageDirectory": "C:\\data"}', "line 1, column 25"),
        ("{HttpPort: 80}", "line 1, column 2"),
        ("{'HttpPort': 80}", "line 1, column 2"),
        ('{"HttpPort": 0x10}', "line 1, column 15"),
        ('{"HttpPort": 1,, }', "line 1, column 18"),
        ('{"HttpPort": NaN}', "NaN is not a number"),
        ('{"Name": "x"} x', "line 1, column 15"),
        ("{ /* open", "line 1, column 3"),
        ("[]", "must contain one JSON object"),
        ('{"Name": ' + "[" * 100_000, "too many levels"),
    ],
)
def test_what_would_hide_a_mistake_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(BadFileFormat) as raised:
        parsed(text)

    assert raised.value.details.startswith("a.json: ")
    assert place in raised.value.details


def test_of_a_repeated_option_the_last_holds_with_a_warning() -> None:
    loaded = parsed('{"HttpPort": 1, "HttpPort": 2}')

    assert loaded.settings.http_port == 2
    assert loaded.warnings == ('a.json: "HttpPort" is repeated, the last one holds',)


# Environment


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("${SET}", "value"),
        ("a ${SET} ${UNSET}b", "a value b"),
        ("${UNSET:-default}", "default"),
        ("${SET:-default}", "value"),
        ("${UNSET:-}", ""),
        ('${UNSET:-"in quotes"}', "in quotes"),
        ("${UNSET:-'in quotes'}", "in quotes"),
        ("$SET {SET} ${SET", "$SET {SET} ${SET"),
        ("${NESTED}", "${SET}"),
    ],
)
def test_variables_are_replaced(text: str, name: str) -> None:
    environment = {"SET": "value", "NESTED": "${SET}"}

    assert settings_of(f'{{"Name": "{text}"}}', environment).name == name


def test_variables_are_replaced_before_the_text_is_read() -> None:
    assert settings_of('{"HttpPort": ${PORT}, ${MORE:-}}', {"PORT": "81"}).http_port == 81


# Files


def test_without_files_all_options_have_their_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    loaded = load([])

    assert loaded.settings.http_port == 8042
    assert loaded.settings.storage_directory == tmp_path / "OrthancStorage"


def test_files_and_folders_are_read_together(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    (folder / "deeper.json").mkdir(parents=True)
    (folder / "a.JSON").write_text('{"HttpPort": 1}')
    (folder / "b.json").write_text('{"DicomPort": 2}')
    (folder / "c.json.bak").write_text("not read")
    (folder / "deeper.json" / "d.json").write_text("not read")
    file = tmp_path / "any.name"
    file.write_text('{"Name": "\N{BLACK STAR}", "StorageDirectory": "s", "IndexDirectory": "/i"}')

    settings = load([folder, file]).settings

    assert (settings.http_port, settings.dicom_port, settings.name) == (1, 2, "\N{BLACK STAR}")
    assert settings.storage_directory == folder / "s"
    assert settings.index_directory == Path("/i")


def test_paths_are_relative_to_the_folder_of_the_first_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("sub/first.json").write_text('{"LuaScripts": ["x.lua"]}')
    Path("second.json").write_text('{"SslCertificate": "c.pem"}')

    settings = load([Path("sub/first.json"), Path("second.json")]).settings

    assert settings.lua_scripts == (tmp_path / "sub/x.lua",)
    assert settings.ssl_certificate == tmp_path / "sub/c.pem"
    assert settings.storage_directory == tmp_path / "sub/OrthancStorage"
    assert settings.index_folder == settings.storage_directory


def test_a_missing_path_is_named() -> None:
    with pytest.raises(InexistentFile) as raised:
        load([Path("/nowhere/x.json")])

    assert raised.value.details == "Inexistent path to configuration: /nowhere/x.json"


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BadFileFormat, match=r"a\.json: the file is not UTF-8"):
        load([tmp_path])


@pytest.mark.parametrize("option", ["HttpPort", "SomePlugin"])
def test_an_option_in_two_files_is_an_error(option: str) -> None:
    sources = [Source(name, json.dumps({option: 1})) for name in ("a.json", "b.json")]

    with pytest.raises(BadFileFormat) as raised:
        parse(sources, {}, FOLDER)

    assert raised.value.details == f'The configuration option "{option}" is in two files: a.json, b.json'


# Options


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('{"HttpProt": 1}', 'the configuration option "HttpProt" is ignored: did you mean "HttpPort"?'),
        ('{"httpport": 1}', 'the configuration option "httpport" is ignored: did you mean "HttpPort"?'),
        ('{"DicomWeb": {}}', 'the configuration option "DicomWeb" is ignored: sections of plugins are not'),
        ('{"PostgreSQL": {"Port": 1}}', '"PostgreSQL" is ignored: sections of plugins are not read'),
        ('{"Xyzzy": 1}', 'the configuration option "Xyzzy" is ignored: no such option'),
    ],
)
def test_unknown_options_are_warned_about(text: str, hint: str) -> None:
    (warning,) = parsed(text).warnings

    assert warning.startswith("a.json: ")
    assert hint in warning


def test_an_option_without_effect_is_warned_about_if_it_asks_for_something() -> None:
    assert parsed('{"LuaScripts": []}').warnings == ()
    assert parsed('{"LuaScripts": ["a"]}').warnings == (
        'The configuration option "LuaScripts" has no effect in this server',
    )


def test_old_options_say_what_others_say_now() -> None:
    settings = settings_of('{"RejectSopClasses": ["1.2"], "LoaderThreads": 3, "ConcurrentJobs": 5}')

    assert settings.rejected_sop_classes == ("1.2",)
    assert settings.storage_loader_threads_count == 15
    assert settings.sequential_dicom_reader_window_size == 3


def test_new_options_win_over_old_ones() -> None:
    settings = settings_of(
        '{"RejectSopClasses": ["1"], "RejectedSopClasses": ["2"],'
        ' "ZipLoaderThreads": 3, "StorageLoaderThreadsCount": 1}'
    )

    assert settings.rejected_sop_classes == ("2",)
    assert settings.storage_loader_threads_count == 1


@pytest.mark.parametrize(("jobs", "threads"), [(1, 4), (10, 10), (100, 50)])
def test_loaders_follow_the_number_of_jobs(jobs: int, threads: int) -> None:
    text = json.dumps({"ConcurrentJobs": jobs, "ZipLoaderThreads": 0})

    assert settings_of(text).storage_loader_threads_count == threads


@pytest.mark.parametrize("age", [0, -5])
def test_a_stable_age_that_is_not_positive_means_a_minute(age: int) -> None:
    assert settings_of(json.dumps({"StableAge": age})).stable_age == 60


def test_the_title_is_trimmed() -> None:
    assert settings_of('{"DicomAet": "  A TITLE "}').dicom_aet == "A TITLE"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"HttpPort": "1"}, BadParameterType),
        ({"HttpPort": 65536}, ParameterOutOfRange),
        ({"DicomAet": "a\nb"}, BadFileFormat),
        ({"DicomAet": "a\n"}, BadFileFormat),
        ({"DicomAet": "a\\b"}, BadFileFormat),
        ({"DicomAet": "\N{LATIN SMALL LETTER E WITH ACUTE}"}, BadFileFormat),
        ({"DicomAet": "  "}, ParameterOutOfRange),
        ({"DicomAet": "12345678901234567"}, BadApplicationEntityTitle),
        ({"OverwriteInstances": "Maybe"}, ParameterOutOfRange),
        ({"OverwriteInstances": "IfChanged", "StoreMD5ForAttachments": False}, IncompatibleConfigurations),
        ({"PatientLevelEnabled": False, "MaximumPatientCount": 1}, IncompatibleConfigurations),
        ({"PatientLevelEnabled": False, "MaximumStorageSize": 1}, IncompatibleConfigurations),
        ({"HttpBindAddresses": ["localhost"]}, ParameterOutOfRange),
        ({"LoaderThreads": "1"}, BadParameterType),
    ],
)
def test_wrong_values_stop_the_server(values: dict[str, object], error: type[OrthancError]) -> None:
    with pytest.raises(error) as raised:
        parsed(json.dumps(values))

    assert type(raised.value) is error
    assert f'"{next(iter(values))}"' in raised.value.details or '"Maximum' in raised.value.details


@pytest.mark.parametrize(
    "values",
    [
        {"OverwriteInstances": "IfChanged"},
        {"OverwriteInstances": "Always", "StoreMD5ForAttachments": False},
        {"PatientLevelEnabled": False},
        {"HttpBindAddresses": ["127.0.0.1", "::1"]},
        {"DicomAet": "1234567890123456 "},
    ],
)
def test_what_fits_together_starts(values: dict[str, object]) -> None:
    assert parsed(json.dumps(values)).warnings == ()


# The sample


def test_the_sample_sets_the_defaults() -> None:
    loaded = parse([Source("sample", sample())], {}, Path())

    assert loaded == Loaded(Settings(), ())


def test_the_shipped_configuration_is_the_sample() -> None:
    assert SHIPPED.read_text() == sample(), "write it anew: orthanc-trio --config=configuration.json"


@pytest.mark.parametrize("option", options().values(), ids=lambda option: option.name)
def test_the_sample_explains_every_option(option: object) -> None:
    name = getattr(option, "name", "")
    lines = sample().splitlines()
    (index,) = (i for i, line in enumerate(lines) if line.lstrip(" /").startswith(f'"{name}":'))

    assert lines[index - 1].startswith("  // ")
    assert lines[index - 1].endswith(".")


def test_examples_in_the_sample_are_valid() -> None:
    lines = [line.replace('  // "', '  "') for line in sample().splitlines()]

    loaded = parse([Source("sample", "\n".join(lines))], {}, FOLDER)

    assert all("has no effect" in warning for warning in loaded.warnings)
    assert loaded.settings.overwrite_instances is OverwriteInstances.NEVER

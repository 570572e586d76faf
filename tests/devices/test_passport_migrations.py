"""A database of passports outlives the version that wrote it, and no two devices share a passport."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sql
from typer.testing import CliRunner

from inmateria.adapters import SimulatedSubstrate
from inmateria.cli import main
from inmateria.cli.commands import app
from inmateria.devices import Probe, calibrate, passport_database
from inmateria.devices.errors import PassportError
from inmateria.devices.identity import require_identity
from inmateria.devices.passports import Passports
from inmateria.simulators import NanowireNetwork
from inmateria.substrate import SubstrateInfo

VERSION_1 = (Path(__file__).parent / "passports_version_1.sql").read_text()
DEVICE = "nanowire-30-3-150754f0"


@pytest.fixture
def file(tmp_path):
    """An SQLite file as version 1 left it."""
    with closing(sqlite3.connect(tmp_path / "passports.sqlite")) as connection:
        connection.executescript(VERSION_1)
    return tmp_path / "passports.sqlite"


def rows(file, query):
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def everything(file):
    """Schema and rows, in whatever order the tables were made."""
    with closing(sqlite3.connect(file)) as connection:
        return sorted(connection.iterdump())


def network():
    return NanowireNetwork(wires=30, seed=3, integration_step=5e-3)


def info(**changed):
    return msgspec.structs.replace(network().info, **changed)


def stating(source):
    return info(id="device-1", identity=source)


def test_a_database_of_version_1_opens_with_everything_it_held(file):
    before = {table: rows(file, f"select * from {table}") for table in ("calibrations", "scores", "readouts")}
    with Passports(f"sqlite:///{file}") as passports:
        assert passports.devices() == {DEVICE: "nanowire-network"}
        passport = passports.passport(DEVICE)
        readout = passports.readout(DEVICE, "sine")
    assert passport.identity_source == "unstated"
    assert passport.first_seen == "2026-01-01T12:00:05+00:00"
    assert passport.info.id == DEVICE
    assert [channel.unit for channel in passport.info.inputs][:1] == ["V"]
    assert [each.taken[:10] for each in passport.calibrations] == ["2026-01-01", "2026-01-10"]
    assert [(each.task, each.score) for each in passport.scores] == [("waveform", 0.25)]
    assert readout.bound == 0.3
    assert readout.device == DEVICE
    assert rows(file, "select version from inmateria") == [(2,)]
    assert {table: rows(file, f"select * from {table}") for table in before} == before


def test_a_migrated_database_has_the_tables_of_a_new_one(file, tmp_path):
    with Passports(f"sqlite:///{file}"), Passports(f"sqlite:///{tmp_path}/new.sqlite"):
        pass
    migrated, new = (sql.create_engine(f"sqlite:///{each}") for each in (file, tmp_path / "new.sqlite"))
    for table in sql.inspect(new).get_table_names():
        columns = [
            {(each["name"], str(each["type"]), each["nullable"]) for each in sql.inspect(engine).get_columns(table)}
            for engine in (migrated, new)
        ]
        assert columns[0] == columns[1], table
        indexes = [{each["name"] for each in sql.inspect(engine).get_indexes(table)} for engine in (migrated, new)]
        assert indexes[0] == indexes[1], table
    migrated.dispose()
    new.dispose()


INTERRUPTED = """
import os, sys
from inmateria.devices import passport_database
from inmateria.devices.passports import Passports

(step,) = passport_database._STEPS
def killed(connection):
    step(connection)
    os._exit(9)
passport_database._STEPS = (killed,)
Passports(sys.argv[1])
"""


def test_a_migration_that_is_killed_leaves_version_1_and_is_done_at_the_next_opening(file):
    before = everything(file)
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED, f"sqlite:///{file}"], timeout=300, check=False)
    assert ended.returncode == 9
    assert everything(file) == before
    with Passports(f"sqlite:///{file}") as passports:
        assert len(passports.passport(DEVICE).calibrations) == 2


@pytest.mark.parametrize("done", [
    "alter table devices add column identity_source varchar(20) default 'unstated' not null",
    "drop table inmateria",
    "delete from inmateria",
    "drop table readouts; drop table scores; drop table inmateria",
])  # fmt: skip
def test_what_was_left_half_done_is_finished(file, done):
    """Some databases commit after each change of a table, and version 1 made its tables one by one."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(done)
    with Passports(f"sqlite:///{file}") as passports:
        passports.add_scores(stating("serial"), [])
        assert set(passports.devices()) == {DEVICE, "device-1"}
        assert len(passports.passport(DEVICE).calibrations) == 2
    assert rows(file, "select version from inmateria") == [(2,)]


TOGETHER = """
import sys
from inmateria.devices.passports import Passports

print("ready", flush=True)
sys.stdin.readline()
with Passports(sys.argv[1]) as passports:
    (device,) = passports.devices()
    print(len(passports.passport(device).calibrations), passports.passport(device).identity_source)
"""


@pytest.mark.slow
def test_processes_that_migrate_at_once_find_one_database(file):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, f"sqlite:///{file}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        told, complained = process.communicate(timeout=300)
        assert (told, complained) == ("2 unstated\n", "")
    assert rows(file, "select version from inmateria") == [(2,)]
    assert len(rows(file, "select * from devices")) == 1


def test_a_version_that_is_newer_is_refused_and_left_as_it_is(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript("update inmateria set version = 3")
    before = everything(file)
    with pytest.raises(PassportError, match=r"version 3; this inmateria reads versions up to 2; use the newer"):
        Passports(f"sqlite:///{file}")
    assert everything(file) == before


def test_a_writer_of_version_1_that_is_still_open_can_go_on(file):
    with closing(sqlite3.connect(file)) as old:
        assert old.execute("select count(*) from devices").fetchone() == (1,)
        with Passports(f"sqlite:///{file}"):
            pass
        old.execute(
            "insert into devices (id, kind, first_seen, info) select 'other', kind, first_seen, info from devices"
        )
        old.commit()
    with Passports(f"sqlite:///{file}") as passports:
        assert passports.passport("other").identity_source == "unstated"


def test_every_info_that_differs_from_the_one_before_is_kept(file):
    first = stating("serial")
    outputs = tuple(msgspec.structs.replace(channel, unit="mV") for channel in first.outputs)
    with Passports(f"sqlite:///{file}") as passports:
        for each in (first, first, msgspec.structs.replace(first, outputs=outputs), first):
            passports.add_scores(each, [])
        passport = passports.passport("device-1")
    assert [{channel.unit for channel in each.info.outputs} for each in passport.infos] == [
        {channel.unit for channel in first.outputs}, {"mV"}, {channel.unit for channel in first.outputs}
    ]  # fmt: skip
    assert passport.info == first
    assert [fields for _, fields in passport.changes()] == [("outputs",), ("outputs",)]
    assert passport.infos[0].info.rest == first.rest


def test_an_info_of_version_1_gets_its_rest_without_counting_as_changed(file):
    with Passports(f"sqlite:///{file}") as passports:
        before = passports.passport(DEVICE).info
        assert before.rest == (0.0,) * len(before.inputs)
        passports.add_scores(before, [])
        assert passports.passport(DEVICE).changes() == []


@pytest.mark.parametrize("source", ["serial", "host", "user", "parameters"])
def test_the_passport_keeps_where_the_id_comes_from(file, source):
    with Passports(f"sqlite:///{file}") as passports:
        passports.add_scores(stating(source), [])
        assert passports.passport("device-1").identity_source == source


def test_an_adapter_that_begins_to_state_the_source_is_believed_and_one_that_stops_changes_nothing(file):
    with Passports(f"sqlite:///{file}") as passports:
        for source in ("unstated", "serial", "unstated"):
            passports.add_scores(stating(source), [])
        assert passports.passport("device-1").identity_source == "serial"


async def test_a_placeholder_gets_no_passport_and_the_message_says_what_to_do(file):
    before = everything(file)
    nameless = stating("none")
    fingerprint = await calibrate(SimulatedSubstrate(network()), Probe(steps=2, repeats=2, rest=0.0))
    with Passports(f"sqlite:///{file}") as passports:
        migrated = everything(file)
        assert migrated != before
        with pytest.raises(
            PassportError, match=r"placeholder .* give the device a name in its URI, as in \?id=my-device"
        ):
            passports.add_scores(nameless, [])
        with pytest.raises(PassportError, match="placeholder"):
            passports.add_calibration(nameless, msgspec.structs.replace(fingerprint, device="device-1"))
    assert everything(file) == migrated


def test_a_device_is_not_probed_for_a_passport_that_it_cannot_have(tmp_path, monkeypatch):
    class Nameless(SimulatedSubstrate):
        async def _apply(self, stimulus):
            raise AssertionError("it was probed")

    substrate = Nameless(network())
    substrate.info = stating("none")
    monkeypatch.setattr("inmateria.adapters.connect", lambda _: substrate)
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["calibrate", "nanowire://"])
    assert isinstance(told.exception, PassportError)


@pytest.mark.parametrize("stated", ["guessed", "", 3, None])
def test_an_unknown_source_is_refused_with_those_that_are_known(stated):
    with pytest.raises(ValueError, match="serial, host, user, parameters, none"):
        SubstrateInfo(**{**msgspec.structs.asdict(network().info), "identity": stated})


def test_an_adapter_that_states_no_source_is_accepted():
    assert require_identity(info(identity="unstated")) == "unstated"


def test_one_id_is_not_shared_by_two_kinds_of_device(file):
    with Passports(f"sqlite:///{file}") as passports:
        passports.add_scores(stating("user"), [])
        with pytest.raises(PassportError, match=r"is of a nanowire-network, and this is a culture; .* another name"):
            passports.add_scores(msgspec.structs.replace(stating("user"), kind="culture"), [])


@pytest.mark.parametrize(("table", "column", "name"), [
    ("devices", "info", "the info"), ("calibrations", "fingerprint", "the calibration of 2026-01-10"),
    ("readouts", "readout", "the readout 'sine'"),
])  # fmt: skip
@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_damaged_document_is_named(file, table, column, name, cut):
    with closing(sqlite3.connect(file)) as connection:
        (key, written), *_ = connection.execute(f"select id, {column} from {table} order by id desc").fetchall()
        connection.execute(f"update {table} set {column} = ? where id = ?", (written[:cut], key))
        connection.commit()
    with Passports(f"sqlite:///{file}") as passports, pytest.raises(PassportError, match=rf"{name}.* is damaged"):
        passports.passport(DEVICE)


@pytest.mark.parametrize("url", [
    "postgresql+nothing://user:S3cret@nowhere/lab",
    "postgresql+nothing://user:S3%2Fcret@nowhere/lab",
    "postgresql+nothing://nowhere/lab?user=me&password=S3cret",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3DS3cret",
    "firebird://user:S3cret@nowhere/lab",
    "postgresql://user:S3cret@nowhere:port/lab",
    "postgresql//user:S3cret@nowhere/lab",
    "postgresql//user:S3cret/@S3cret@nowhere/lab",
    "user:S3cret@nowhere",
    "lab?password=S3cret",
    "sqlite://user:S3cret@nowhere/lab.sqlite",
])  # fmt: skip
def test_a_password_in_a_url_is_never_printed(url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["inmateria", "passport", "--passports", url])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "cret" not in told.err + told.out
    with pytest.raises(PassportError) as refused:
        Passports(url)
    assert refused.value.__cause__ is None
    assert "cret" not in str(refused.value)


def test_a_url_is_printed_with_all_but_its_secrets():
    url = sql.engine.make_url("postgresql://me:S3cret@host:5432/lab?sslmode=require&sslpassword=S3cret")
    assert passport_database.printable_url(url) == "postgresql://me:***@host:5432/lab?sslmode=require&sslpassword=***"


def test_the_command_shows_a_migrated_passport(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    told = CliRunner().invoke(app, ["passport", DEVICE, "--passports", f"sqlite:///{file}", "--json"])
    shown = json.loads(told.stdout)
    assert shown["identity_source"] == "unstated"
    assert shown["changes"] == []
    told = CliRunner().invoke(app, ["passport", DEVICE, "--passports", f"sqlite:///{file}"])
    assert "its id comes from: not stated by its adapter" in told.stdout

"""Passports: what makes a device irreplaceable, kept for years in a database beside the runs.

A device's passport holds what it is, every calibration with the answers to its probe, the scores of the runs on
it, and the readouts that were trained on it. SQLite by default, in ``passports.sqlite`` beside the run folders;
any other database that SQLAlchemy can reach is named by a URL, or by the variable INMATERIA_PASSPORTS.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from inmateria.adapters.uri import shown
from inmateria.devices.bound_readouts import BoundReadout
from inmateria.devices.errors import PassportError
from inmateria.devices.fingerprints import Comparison, Fingerprint, compare
from inmateria.substrate import SubstrateInfo

__all__ = ["Passport", "PassportError", "Passports", "ReadoutRecord", "ScoreRecord", "passports_url"]

PASSPORTS_FILE = "passports.sqlite"
_VARIABLE = "INMATERIA_PASSPORTS"
_VERSION = 1
_PATIENCE = 30.0
"""Seconds to wait while another process writes to the same SQLite file."""

_Long = sql.LargeBinary(2**32 - 1)  # without a length, MySQL keeps 64 kB
_tables = sql.MetaData()
_about = sql.Table("inmateria", _tables, sql.Column("version", sql.Integer, primary_key=True, autoincrement=False))
_devices = sql.Table(
    "devices",
    _tables,
    sql.Column("id", sql.String(255), primary_key=True),
    sql.Column("kind", sql.String(255), nullable=False, index=True),
    sql.Column("first_seen", sql.String(40), nullable=False),
    sql.Column("info", _Long, nullable=False),
)


def _of_devices(name: str, *columns: sql.Column[Any]) -> sql.Table:
    return sql.Table(
        name,
        _tables,
        sql.Column("id", sql.Integer, primary_key=True),
        sql.Column("device", sql.ForeignKey("devices.id"), nullable=False, index=True),
        sql.Column("taken", sql.String(40), nullable=False),
        *columns,
    )


_calibrations = _of_devices("calibrations", sql.Column("fingerprint", _Long, nullable=False))
_scores = _of_devices(
    "scores",
    sql.Column("task", sql.String(255), nullable=False),
    sql.Column("readout", sql.String(255), nullable=False),
    sql.Column("read_from", sql.String(255), nullable=False),
    sql.Column("control", sql.Boolean, nullable=False),
    sql.Column("metric", sql.String(255), nullable=False),
    sql.Column("score", sql.Float, nullable=False),
    sql.Column("chance", sql.Float, nullable=False),
    sql.Column("folder", sql.Text, nullable=False),
)
_readouts = _of_devices(
    "readouts",
    sql.Column("name", sql.String(255), nullable=False),
    sql.Column("readout", _Long, nullable=False),
)


class ScoreRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One score of a run on a device; as a row of its passport."""

    taken: str
    task: str
    readout: str
    read_from: str
    control: bool
    metric: str
    score: float
    chance: float
    folder: str


class ReadoutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A readout that was trained on a device: its name, and when the device was calibrated for it."""

    name: str
    taken: str
    bound: float


class Passport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one device, each list in the order of time."""

    info: SubstrateInfo
    first_seen: str
    calibrations: tuple[Fingerprint, ...]
    scores: tuple[ScoreRecord, ...]
    readouts: tuple[ReadoutRecord, ...]

    def drift(self) -> list[tuple[Fingerprint, Comparison]]:
        """Compare each calibration with the first that was taken with the same probe, that one left out."""
        first: dict[tuple[str, tuple[str, ...]], Fingerprint] = {}
        compared = []
        for now in self.calibrations:
            reference = first.setdefault((now.digest, now.outputs), now)
            if reference is not now:
                compared.append((now, compare(reference, now)))
        return compared


class Passports:
    """A database of passports, open; a context manager, to be used by one thread at a time.

    Parameters
    ----------
    url : str
        Of SQLAlchemy, such as ``sqlite:///runs/passports.sqlite`` or ``postgresql://host/lab``. The tables are made
        where they are not there yet, and so is the folder of an SQLite file.

    Raises
    ------
    PassportError
        Where it cannot be reached, its driver is not installed, or a newer inmateria wrote it.
    """

    def __init__(self, url: str) -> None:
        try:
            self._place = sql.engine.make_url(url)
        except ArgumentError:
            raise PassportError(
                f"{shown(url)!r} is not the URL of a database; give one such as sqlite:///runs/{PASSPORTS_FILE}"
            ) from None
        file = self._place.database
        if self._place.get_backend_name() == "sqlite" and file and file != ":memory:":
            try:
                Path(file).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise PassportError(f"the folder of {file} cannot be made ({error.strerror})") from None
        try:
            waiting = {"timeout": _PATIENCE} if self._place.get_backend_name() == "sqlite" else {}
            self._engine = sql.create_engine(self._place, connect_args=waiting)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise PassportError(
                f"{shown(str(self._place))} needs a driver that is not installed ({error}); install it, or name "
                "another one, as in postgresql+psycopg://"
            ) from None
        try:
            self._make_tables()
        except BaseException:
            self._engine.dispose()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def add_calibration(self, info: SubstrateInfo, fingerprint: Fingerprint) -> None:
        """Keep a calibration of a device."""
        if fingerprint.device != info.id:
            raise ValueError(f"the fingerprint is of {fingerprint.device}, and the device is {info.id}")
        with self._connected() as connection:
            self._know(connection, info)
            connection.execute(
                _calibrations.insert().values(
                    device=info.id, taken=fingerprint.taken, fingerprint=msgspec.json.encode(fingerprint)
                )
            )

    def add_scores(self, info: SubstrateInfo, scores: Sequence[ScoreRecord]) -> None:
        """Keep the scores of a run on a device."""
        rows = [{"device": info.id, **msgspec.structs.asdict(score), "taken": _in_utc(score.taken)} for score in scores]
        with self._connected() as connection:
            self._know(connection, info)
            if rows:
                connection.execute(_scores.insert(), rows)

    def add_readout(self, name: str, readout: BoundReadout, info: SubstrateInfo) -> None:
        """Keep a readout that was trained on a device; one of the same name is kept beside it."""
        readout.check(info)
        with self._connected() as connection:
            self._know(connection, info)
            connection.execute(
                _readouts.insert().values(
                    device=info.id, taken=readout.fingerprint.taken, name=name, readout=readout.encode()
                )
            )

    def devices(self) -> dict[str, str]:
        """List the devices that have a passport, with their kind."""
        with self._connected() as connection:
            rows = connection.execute(sql.select(_devices.c.id, _devices.c.kind).order_by(_devices.c.id)).all()
        return {row.id: row.kind for row in rows}

    def passport(self, device: str) -> Passport:
        """Read everything that is known of a device.

        Raises
        ------
        PassportError
            Where it has no passport.
        """
        with self._connected() as connection:
            known = connection.execute(_devices.select().where(_devices.c.id == device)).one_or_none()
            if known is None:
                raise self._unknown(device)
            calibrations = self._rows(connection, _calibrations, device)
            scores = self._rows(connection, _scores, device)
            readouts = self._rows(connection, _readouts, device)
        return Passport(
            info=msgspec.json.decode(known.info, type=SubstrateInfo),
            first_seen=known.first_seen,
            calibrations=tuple(msgspec.json.decode(row.fingerprint, type=Fingerprint) for row in calibrations),
            scores=tuple(
                ScoreRecord(**{name: getattr(row, name) for name in ScoreRecord.__struct_fields__}) for row in scores
            ),
            readouts=tuple(
                ReadoutRecord(name=row.name, taken=row.taken, bound=BoundReadout.decode(row.readout).bound)
                for row in readouts
            ),
        )  # fmt: skip

    def readout(self, device: str, name: str) -> BoundReadout:
        """Read the readout of that name that was kept last.

        Raises
        ------
        PassportError
            Where there is none.
        """
        with self._connected() as connection:
            rows = [row for row in self._rows(connection, _readouts, device) if row.name == name]
        if not rows:
            raise PassportError(f"{shown(str(self._place))} has no readout {name!r} of {device}")
        return BoundReadout.decode(rows[-1].readout)

    def others(self, fingerprint: Fingerprint) -> list[Fingerprint]:
        """Read the first calibration of every other device of that kind that was taken with the same probe."""
        found: dict[str, Fingerprint] = {}
        chosen = (
            sql.select(_calibrations.c.device, _calibrations.c.fingerprint)
            .join(_devices, _devices.c.id == _calibrations.c.device)
            .where(_devices.c.kind == fingerprint.kind, _devices.c.id != fingerprint.device)
            .order_by(_calibrations.c.id)
        )
        with self._connected() as connection:
            for row in connection.execute(chosen):
                other = msgspec.json.decode(row.fingerprint, type=Fingerprint)
                if (other.digest, other.outputs) == (fingerprint.digest, fingerprint.outputs):
                    found.setdefault(row.device, other)
        return list(found.values())

    def _make_tables(self) -> None:
        for attempt in (1, 2, 3):  # another process may be making the same ones
            try:
                with self._connected() as connection:
                    _tables.create_all(connection)
                    _insert_once(connection, _about, {"version": _VERSION})
                break
            except PassportError:
                if attempt == 3:
                    raise
        with self._connected() as connection:
            version = connection.execute(sql.select(sql.func.max(_about.c.version))).scalar_one()
        if version != _VERSION:
            raise PassportError(
                f"{shown(str(self._place))} has passports of version {version}; version {_VERSION} is known "
                "here: use a newer inmateria"
            )

    def _know(self, connection: sql.Connection, info: SubstrateInfo) -> None:
        """Make a passport for a device that has none; keep what is known of one that has."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"id": info.id, "kind": info.kind, "first_seen": now, "info": msgspec.json.encode(info)}
        _insert_once(connection, _devices, row)

    def _rows(self, connection: sql.Connection, table: sql.Table, device: str) -> list[sql.Row[Any]]:
        chosen = table.select().where(table.c.device == device).order_by(table.c.taken, table.c.id)
        return list(connection.execute(chosen).all())

    def _unknown(self, device: str) -> PassportError:
        from difflib import get_close_matches

        known = self.devices()
        close = [each for each in known if each.startswith(device)] or get_close_matches(device, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; `inmateria calibrate URI` makes one"
        return PassportError(f"{shown(str(self._place))} has no passport of {device}{hint}")

    @contextmanager
    def _connected(self) -> Iterator[sql.Connection]:
        """Open a connection whose changes are all kept, or none of them."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise PassportError(f"{shown(str(self._place))} cannot be used ({reason})") from error


def _insert_once(connection: sql.Connection, table: sql.Table, row: dict[str, Any]) -> None:
    """Insert a row unless there is one of that key, also where another process is doing the same."""
    (key,) = table.primary_key.columns
    if connection.execute(sql.select(key).where(key == row[key.name])).first() is None:
        try:
            with connection.begin_nested():
                connection.execute(table.insert().values(row))
        except IntegrityError:
            pass


def passports_url(runs: Path) -> str:
    """Find the database of passports: the one that INMATERIA_PASSPORTS names, or the one beside the runs."""
    return os.environ.get(_VARIABLE) or f"sqlite:///{(runs / PASSPORTS_FILE).as_posix()}"


def _in_utc(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat(timespec="seconds")

"""Passports: what makes a device irreplaceable, kept for years in a database beside the runs.

A device's passport holds what it is, every calibration with the responses to its probe, the scores of the runs on
it, and the readouts that were trained on it. SQLite by default, in ``passports.sqlite`` beside the run folders;
any other database that SQLAlchemy can reach is named by a URL, or by the variable INMATERIA_PASSPORTS.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import numpy as np
import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from inmateria.devices import passport_database as db
from inmateria.devices.bound_readouts import BoundReadout
from inmateria.devices.errors import PassportError
from inmateria.devices.fingerprints import Comparison, Fingerprint, StrangerRate, compare, stranger_rate
from inmateria.devices.identity import require_identity
from inmateria.notebook_html import notebook_html, traces
from inmateria.one_line import one_line
from inmateria.substrate import IdentitySource, SubstrateInfo

__all__ = ["InfoRecord", "Passport", "PassportError", "Passports", "ReadoutRecord", "ScoreRecord", "passports_url"]

PASSPORTS_FILE = "passports.sqlite"
_VARIABLE = "INMATERIA_PASSPORTS"

Document = TypeVar("Document")


class InfoRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a device described itself from a moment on: channels, units, limits, rest, parameters."""

    taken: str
    info: SubstrateInfo

    __repr__ = one_line


class ScoreRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One score of a run on a device, a row of its passport."""

    taken: str
    task: str
    readout: str
    read_from: str
    control: bool
    metric: str
    score: float
    chance: float
    folder: str

    __repr__ = one_line


class ReadoutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A readout that was trained on a device: its name, and when the device was calibrated for it."""

    name: str
    taken: str
    bound: float

    __repr__ = one_line


class Passport(msgspec.Struct, frozen=True, kw_only=True):
    """Records of one device, each list in order of time.

    Parameters
    ----------
    identity_source : str
        Source of its id, see `SubstrateInfo`.
    infos : tuple of InfoRecord
        First info of the device, and every later one that differed from the one before.
    calibrations : tuple of Fingerprint
    scores : tuple of ScoreRecord
    readouts : tuple of ReadoutRecord
    strangers : StrangerRate or None
        Rate at which other devices are taken for this one, from the first calibrations of all others of its kind with
        the probe of its latest calibration; None without any.
    """

    identity_source: IdentitySource
    infos: tuple[InfoRecord, ...]
    calibrations: tuple[Fingerprint, ...]
    scores: tuple[ScoreRecord, ...]
    readouts: tuple[ReadoutRecord, ...]
    strangers: StrangerRate | None = None

    __repr__ = one_line

    @property
    def info(self) -> SubstrateInfo:
        """Its latest info."""
        return self.infos[-1].info

    def _repr_html_(self) -> str:
        calibrations, compared = self.calibrations, self.drift()
        scores = [score for score in self.scores if not score.control]
        facts: dict[str, Any] = {
            "kind": self.info.kind,
            "first seen": self.first_seen,
            "its id is from": self.identity_source,
            "description changed": len(self.infos) - 1 or None,
            "calibrations": f"{len(calibrations)}, the last {calibrations[-1].taken}" if calibrations else "none",
        }
        if compared:
            _, latest = compared[-1]
            facts["drift since the first"] = f"distance {latest.distance:.3g}, p = {latest.p_value:.3g}"
        facts["readouts"] = ", ".join(dict.fromkeys(readout.name for readout in self.readouts))
        if scores:
            last = scores[-1]
            facts["runs scored"] = (
                f"{len(scores)}; the last: {last.task}, {last.readout}, {last.metric} {last.score:.3g}"
            )
        drawn = np.array([[found.distance] for _, found in compared], dtype=np.float64)
        drawings = [traces(drawn, "Distance to the first calibration, in order of time")] if len(drawn) > 1 else []
        return notebook_html(f"Passport of {self.info.id}", facts, drawings)

    @property
    def first_seen(self) -> str:
        """Time at which the passport was created, UTC."""
        return self.infos[0].taken

    def changes(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the times at which its info changed, with the names of the changed fields."""
        return [
            (now.taken, tuple(name for name in SubstrateInfo.__struct_fields__
                              if getattr(now.info, name) != getattr(before.info, name)))
            for before, now in pairwise(self.infos)
        ]  # fmt: skip

    def drift(self) -> list[tuple[Fingerprint, Comparison]]:
        """Compare each later calibration with the first one of the same probe and outputs."""
        first: dict[tuple[str, tuple[str, ...]], Fingerprint] = {}
        compared = []
        for now in self.calibrations:
            reference = first.setdefault((now.digest, now.outputs), now)
            if reference is not now:
                compared.append((now, compare(reference, now)))
        return compared


class Passports:
    """An open database of passports; a context manager, to be used by one thread at a time.

    Parameters
    ----------
    url : str
        URL of SQLAlchemy, such as ``sqlite:///runs/passports.sqlite`` or ``postgresql://host/lab``. Missing
        tables are created, and so is the folder of an SQLite file; a database of an earlier version is migrated.
    create : bool
        Whether to make an SQLite file that is not there.

    Raises
    ------
    PassportError
        If the database is not there or cannot be reached, its driver is not installed, or a newer version of
        inmateria wrote it.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._database = db.PassportDatabase(url, create=create)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add_calibration(self, info: SubstrateInfo, fingerprint: Fingerprint) -> None:
        """Store a calibration of a device."""
        if fingerprint.device != info.id:
            raise ValueError(f"the fingerprint is of {fingerprint.device}, and the device is {info.id}")
        with self._database.writing() as connection:
            self._begin_or_update(connection, info)
            connection.execute(
                db.calibrations.insert().values(
                    device=info.id, taken=fingerprint.taken, fingerprint=msgspec.json.encode(fingerprint)
                )
            )

    def add_scores(self, info: SubstrateInfo, scores: Sequence[ScoreRecord]) -> None:
        """Store the scores of a run on a device."""
        rows = [{"device": info.id, **msgspec.structs.asdict(score), "taken": _in_utc(score.taken)} for score in scores]
        with self._database.writing() as connection:
            self._begin_or_update(connection, info)
            if rows:
                connection.execute(db.scores.insert(), rows)

    def add_readout(self, name: str, readout: BoundReadout, info: SubstrateInfo) -> None:
        """Store a readout that was trained on a device; earlier ones of the same name are kept."""
        readout.check(info)
        with self._database.writing() as connection:
            self._begin_or_update(connection, info)
            connection.execute(
                db.readouts.insert().values(
                    device=info.id, taken=readout.fingerprint.taken, name=name, readout=readout.encode()
                )
            )

    def devices(self) -> dict[str, str]:
        """Return the devices that have a passport, with their kind."""
        with self._database.reading() as connection:
            rows = connection.execute(sql.select(db.devices.c.id, db.devices.c.kind).order_by(db.devices.c.id)).all()
        return {row.id: row.kind for row in rows}

    def passport(self, device: str) -> Passport:
        """Return the passport of a device.

        Raises
        ------
        PassportError
            If the device has no passport.
        """
        with self._database.reading() as connection:
            known = connection.execute(db.devices.select().where(db.devices.c.id == device)).one_or_none()
            if known is None:
                raise self._unknown(device)
            calibrations = self._rows(connection, db.calibrations, device)
            scores = self._rows(connection, db.scores, device)
            readouts = self._rows(connection, db.readouts, device)
            infos = self._infos(connection, known)
        taken = tuple(
            _decoded(row.fingerprint, Fingerprint, device, f"calibration of {row.taken}") for row in calibrations
        )
        return Passport(
            identity_source=known.identity_source,
            infos=infos,
            calibrations=taken,
            scores=tuple(
                ScoreRecord(**{name: getattr(row, name) for name in ScoreRecord.__struct_fields__}) for row in scores
            ),
            readouts=tuple(
                ReadoutRecord(name=row.name, taken=row.taken, bound=_decoded_readout(row).bound) for row in readouts
            ),
            strangers=self._strangers(taken),
        )

    def readout(self, device: str, name: str) -> BoundReadout:
        """Return the latest readout of a name.

        Raises
        ------
        PassportError
            If there is no readout of that name.
        """
        with self._database.reading() as connection:
            rows = [row for row in self._rows(connection, db.readouts, device) if row.name == name]
        if not rows:
            raise PassportError(f"{self._database.url} has no readout {name!r} of {device}")
        return _decoded_readout(rows[-1])

    def others(self, fingerprint: Fingerprint) -> list[Fingerprint]:
        """Return the first calibration of every other device of the same kind and with the same probe."""
        found: dict[str, Fingerprint] = {}
        chosen = (
            sql.select(db.calibrations.c.device, db.calibrations.c.fingerprint)
            .join(db.devices, db.devices.c.id == db.calibrations.c.device)
            .where(db.devices.c.kind == fingerprint.kind, db.devices.c.id != fingerprint.device)
            .order_by(db.calibrations.c.id)
        )
        with self._database.reading() as connection:
            for row in connection.execute(chosen):
                other = _decoded(row.fingerprint, Fingerprint, row.device, "calibration")
                if (other.digest, other.outputs) == (fingerprint.digest, fingerprint.outputs):
                    found.setdefault(row.device, other)
        return list(found.values())

    def _strangers(self, calibrations: Sequence[Fingerprint]) -> StrangerRate | None:
        """Return the rate at which other devices are taken for one, with the probe of its latest calibration."""
        if not calibrations:
            return None
        now = calibrations[-1]
        others = self.others(now)
        first = next(each for each in calibrations if (each.digest, each.outputs) == (now.digest, now.outputs))
        return stranger_rate(first, others) if others else None

    def _begin_or_update(self, connection: sql.Connection, info: SubstrateInfo) -> None:
        """Begin a passport for a device that has none; note a change in how one that has describes itself."""
        source = require_identity(info)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        encoded = msgspec.json.encode(info)
        row = {"id": info.id, "kind": info.kind, "first_seen": now, "info": encoded, "identity_source": source}
        if _insert_once(connection, db.devices, row):
            return
        known = connection.execute(db.devices.select().where(db.devices.c.id == info.id)).one()
        if known.kind != info.kind:
            raise PassportError(
                f"the passport of {info.id} is of a {known.kind}, and this is a {info.kind}; one id belongs to one "
                "device; give this one another name"
            )
        if source not in (known.identity_source, "unstated"):
            chosen = db.devices.update().where(db.devices.c.id == info.id)
            connection.execute(chosen.values(identity_source=source))
        latest = self._infos(connection, known)[-1].info
        if latest != msgspec.json.decode(encoded, type=SubstrateInfo):
            connection.execute(db.changes.insert().values(device=info.id, taken=now, info=encoded))

    def _infos(self, connection: sql.Connection, device: sql.Row[Any]) -> tuple[InfoRecord, ...]:
        """Read how a device described itself, first and after each change."""
        changes = db.changes.select().where(db.changes.c.device == device.id).order_by(db.changes.c.id)
        written = [(device.first_seen, device.info)]
        written += [(row.taken, row.info) for row in connection.execute(changes)]
        return tuple(
            InfoRecord(taken=taken, info=_decoded(info, SubstrateInfo, device.id, "info")) for taken, info in written
        )

    def _rows(self, connection: sql.Connection, table: sql.Table, device: str) -> list[sql.Row[Any]]:
        chosen = table.select().where(table.c.device == device).order_by(table.c.taken, table.c.id)
        return list(connection.execute(chosen).all())

    def _unknown(self, device: str) -> PassportError:
        from difflib import get_close_matches

        known = self.devices()
        close = [each for each in known if each.startswith(device)] or get_close_matches(device, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; `inmateria calibrate URI` makes one"
        return PassportError(f"{self._database.url} has no passport of {device}{hint}")


def _insert_once(connection: sql.Connection, table: sql.Table, row: dict[str, Any]) -> bool:
    """Insert a row unless there is one of that key, also if another process does the same; return whether it did."""
    (key,) = table.primary_key.columns
    if connection.execute(sql.select(key).where(key == row[key.name])).first() is not None:
        return False
    try:
        with connection.begin_nested():
            connection.execute(table.insert().values(row))
    except IntegrityError:
        return False
    return True


def _decoded(written: bytes, kind: type[Document], device: str, name: str) -> Document:
    try:
        return msgspec.json.decode(written, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise PassportError(
            f"the {name} in the passport of {device} is damaged ({error}); restore the database from a copy"
        ) from None


def _decoded_readout(row: sql.Row[Any]) -> BoundReadout:
    try:
        return BoundReadout.decode(row.readout)
    except (msgspec.DecodeError, ValueError) as error:
        raise PassportError(
            f"the readout {row.name!r} in the passport of {row.device} is damaged ({error}); restore the database from "
            "a copy"
        ) from None


def passports_url(runs: Path) -> str:
    """Return the URL of the database of passports: that in INMATERIA_PASSPORTS, or the one beside the runs."""
    return os.environ.get(_VARIABLE) or f"sqlite:///{(runs / PASSPORTS_FILE).as_posix()}"


def _in_utc(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat(timespec="seconds")

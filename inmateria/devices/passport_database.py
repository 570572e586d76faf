"""The database of passports: its tables, the steps from one version to the next, and connections to it.

Documents (info, fingerprint, readout) are kept as JSON, so that they can be read without inmateria.
docs/decisions/0554-passports-migrate-by-a-list-of-steps.md says why there is no migration framework.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from inmateria.devices.errors import PassportError

__all__ = ["VERSION", "PassportDatabase", "printable_url"]

_PATIENCE = 30.0
"""Seconds to wait while another process writes to the same SQLite file."""
_SECRET = re.compile(r"pass|pwd|secret|token|key|credential|odbc_connect", re.IGNORECASE)
"""Names of parts of a URL's query that are not printed."""

_Long = sql.LargeBinary(2**32 - 1)  # without a length, MySQL keeps 64 kB
_tables = sql.MetaData()
version_table = sql.Table(
    "inmateria", _tables, sql.Column("version", sql.Integer, primary_key=True, autoincrement=False)
)
devices = sql.Table(
    "devices",
    _tables,
    sql.Column("id", sql.String(255), primary_key=True),
    sql.Column("kind", sql.String(255), nullable=False, index=True),
    sql.Column("first_seen", sql.String(40), nullable=False),
    sql.Column("info", _Long, nullable=False),  # as it was when it was first seen
    sql.Column("identity_source", sql.String(20), nullable=False, server_default="unstated"),  # since version 2
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


calibrations = _of_devices("calibrations", sql.Column("fingerprint", _Long, nullable=False))
scores = _of_devices(
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
readouts = _of_devices(
    "readouts",
    sql.Column("name", sql.String(255), nullable=False),
    sql.Column("readout", _Long, nullable=False),
)
changes = _of_devices("changes", sql.Column("info", _Long, nullable=False))  # since version 2


def _state_identities_and_keep_changes(connection: sql.Connection) -> None:
    """Version 2: where each device's id comes from, and every later info that differs from the one before."""
    columns = {column["name"] for column in sql.inspect(connection).get_columns("devices")}
    if "identity_source" not in columns:
        connection.execute(
            sql.text("ALTER TABLE devices ADD COLUMN identity_source VARCHAR(20) DEFAULT 'unstated' NOT NULL")
        )
    changes.create(connection, checkfirst=True)


_STEPS: tuple[Callable[[sql.Connection], None], ...] = (_state_identities_and_keep_changes,)
"""Step n leads from version n + 1 to n + 2. Each can be repeated: some databases commit after every change of a table,
so that a step that was interrupted is found half done. A step adds; it never drops or rewrites."""

VERSION = 1 + len(_STEPS)


class PassportDatabase:
    """An open database of passports, of the present version.

    Parameters
    ----------
    url : str
        Of SQLAlchemy. Tables are made if there are none, and so is the folder of an SQLite file; a database of
        an earlier version is brought to the present one.
    create : bool
        Whether to make an SQLite file that is not there.

    Raises
    ------
    PassportError
        If it cannot be reached, its driver is not installed, or a newer inmateria wrote it.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        try:
            self._url = sql.engine.make_url(url)
        except (ArgumentError, ValueError):  # the latter if the port is not a number
            raise PassportError(
                f"{_redacted(url)!r} is not the URL of a database; give one such as sqlite:///runs/passports.sqlite"
            ) from None
        self.url = printable_url(self._url)
        sqlite = self._url.get_backend_name() == "sqlite"
        if sqlite and self._url.database and self._url.database != ":memory:":
            if not create and not Path(self._url.database).exists():
                raise PassportError(
                    f"there is no database of passports at {self._url.database}; `inmateria calibrate URI` makes one, "
                    "and so does `inmateria run`"
                )
            try:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise PassportError(f"the folder of {self._url.database} cannot be made ({error.strerror})") from None
        try:
            self._engine = sql.create_engine(self._url, connect_args={"timeout": _PATIENCE} if sqlite else {})
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise PassportError(
                f"{self.url} needs a driver that is not installed ({error}); install it, or name another one, as in "
                "postgresql+psycopg://"
            ) from None
        except (SQLAlchemyError, TypeError, ValueError) as error:
            raise self._unusable(error) from None
        if sqlite:
            _hold_transactions(self._engine)
        try:
            self._bring_up_to_date()
        except (TypeError, ValueError) as error:  # a part of the query that the driver does not take
            self._engine.dispose()
            raise self._unusable(error) from None
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """Open a connection that sees one state of the database."""
        with self._connected(self._engine) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        """Open a connection whose changes are all kept, or none of them; in SQLite, one process at a time."""
        with self._connected(self._engine.execution_options(inmateria_begin="BEGIN IMMEDIATE")) as connection:
            yield connection

    @contextmanager
    def _connected(self, engine: sql.Engine) -> Iterator[sql.Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._unusable(error) from None  # a traceback would print the URL in the driver's message

    def _unusable(self, error: Exception) -> PassportError:
        reason = (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0]
        return PassportError(f"{self.url} cannot be used ({_without_secrets(reason, self._url)})")

    def _bring_up_to_date(self) -> None:
        with self.reading() as connection:
            version = _version_of(connection)
        self._refuse_newer(version)
        if version == VERSION:
            return
        for attempt in (1, 2, 3):  # two processes may make the same tables; only SQLite keeps them apart by itself
            try:
                with self.writing() as connection:
                    self._migrate(connection)
                return
            except PassportError:
                if attempt == 3:
                    raise

    def _migrate(self, connection: sql.Connection) -> None:
        """Make the tables that are missing and carry out the steps; another process may just have done so."""
        version = _version_of(connection, lock=True)
        self._refuse_newer(version)
        _tables.create_all(connection)
        for step in _STEPS[max(version, 1) - 1 :]:
            step(connection)
        if not connection.execute(version_table.update().values(version=VERSION)).rowcount:
            connection.execute(version_table.insert().values(version=VERSION))

    def _refuse_newer(self, version: int) -> None:
        if version > VERSION:
            raise PassportError(
                f"{self.url} has passports of version {version}; this inmateria reads versions up to {VERSION}; use "
                "the newer one that wrote it"
            )


def _version_of(connection: sql.Connection, *, lock: bool = False) -> int:
    """Read the version, 0 if there are no tables yet; if there is a lock, other migrations wait for this one."""
    inspector = sql.inspect(connection)
    if inspector.has_table(version_table.name):
        chosen = sql.select(version_table.c.version)
        versions = connection.execute(chosen.with_for_update() if lock else chosen).scalars().all()
        if versions:
            return int(max(versions))
    # Version 1 wrote its number after it had made its tables, and may have been stopped in between.
    return 1 if inspector.has_table(devices.name) else 0


def _hold_transactions(engine: sql.Engine) -> None:
    """Begin transactions of SQLite here: its driver begins none before it reads or makes a table."""

    @sql.event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @sql.event.listens_for(engine, "begin")
    def begun(connection: sql.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("inmateria_begin", "BEGIN"))


def printable_url(url: sql.URL) -> str:
    """Write a URL with *** in place of its password, and of every part of its query that may be one."""
    hidden = {name: "***" if _SECRET.search(name) else value for name, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def _redacted(url: str) -> str:
    """Hide what may be a password in text that is not a URL: all before the last @, and the values of a query."""
    place, mark, query = url.partition("?")
    scheme, slashes, rest = place.rpartition("//")
    if "@" in rest:
        rest = "***@" + rest.rpartition("@")[2]
    return scheme + slashes + rest + mark + re.sub(r"=[^&]*", "=***", query)


def _without_secrets(text: str, url: sql.URL) -> str:
    """Hide the passwords of a URL in a message of its driver."""
    text = text.replace(url.render_as_string(hide_password=False), printable_url(url))
    for secret in (url.password, *(str(value) for name, value in url.query.items() if _SECRET.search(name))):
        if secret:
            text = text.replace(str(secret), "***")
    return text

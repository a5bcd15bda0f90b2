"""Undelivered alerts on disk: one small SQLite file that survives a power cut."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from edge.alerts.queue import Entry

APPLICATION_ID = 0x45415257  # "EARW"
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE alerts (seq INTEGER PRIMARY KEY, payload TEXT NOT NULL);
CREATE TABLE readers (name TEXT PRIMARY KEY, delivered INTEGER NOT NULL) WITHOUT ROWID;
"""
# 64 pages keep the write-ahead log near 256 kB, small enough to be read back in a moment.
CHECKPOINT_PAGES = 64
SIDE_FILES = ("-wal", "-shm", "-journal")


class DamagedStoreError(Exception):
    """The file is not an alert store, or its content is damaged."""


class StoreFaultError(Exception):
    """The store cannot be read or written at present: disk full, read-only, I/O error, in use."""


class AlertStore:
    """The alerts and cursors of an `AlertQueue` in a SQLite file.

    Write-ahead logging with `synchronous=FULL` costs one flush to the disk per transaction and
    half the bytes of a rollback journal, which is what an SD card feels; a transaction that has
    returned survives the loss of power (https://sqlite.org/pragma.html#pragma_synchronous). The
    file is locked for as long as it is open, so two daemons cannot share one.

    Raises:
        DamagedStoreError: the file is damaged or belongs to something else.
        StoreFaultError: the file cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._connection = self._open(path)
        except sqlite3.Error as error:
            raise translated(error) from error
        except OSError as error:
            raise StoreFaultError(str(error.strerror or error)) from error

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        connection = sqlite3.connect(
            path, timeout=1.0, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        if fresh:
            sync_directory(path.parent)
        return connection

    def load(self) -> tuple[list[Entry], dict[str, int]]:
        """The alerts in order, and each reader's cursor."""
        try:
            rows = self._connection.execute("SELECT seq, payload FROM alerts ORDER BY seq")
            entries = [Entry(seq, payload) for seq, payload in rows]
            return entries, dict(self._connection.execute("SELECT name, delivered FROM readers"))
        except sqlite3.Error as error:
            raise translated(error) from error

    def save(
        self, entries: Iterable[Entry], cursors: dict[str, int], floor: int, afresh: bool = False
    ) -> None:
        """Add entries, set the cursors, forget what lies below `floor`: all of it or nothing.

        Args:
            entries: to add; those that are there already are replaced.
            cursors: the last entry that each reader has delivered.
            floor: entries below it are removed.
            afresh: whatever the file held before is removed too.
        """
        try:
            with self._connection as transaction:
                transaction.execute("BEGIN IMMEDIATE")
                if afresh:
                    transaction.execute("DELETE FROM alerts")
                transaction.executemany(
                    "INSERT OR REPLACE INTO alerts VALUES (?, ?)",
                    [(entry.seq, entry.payload) for entry in entries],
                )
                transaction.execute("DELETE FROM readers")
                transaction.executemany("INSERT INTO readers VALUES (?, ?)", cursors.items())
                transaction.execute("DELETE FROM alerts WHERE seq < ?", (floor,))
        except sqlite3.Error as error:
            raise translated(error) from error

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise translated(error) from error


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables in a new file, or check that an old one is sound and ours."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application == 0 and tables == 0:
        connection.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    elif (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
        raise DamagedStoreError("it is not an alert spool of this version")
    with closing(connection.execute("PRAGMA quick_check(1)")) as rows:
        verdict = rows.fetchone()[0]
    if verdict != "ok":
        raise DamagedStoreError(verdict)


def translated(error: sqlite3.Error) -> Exception:
    """SQLite's error as one of ours: trouble that may pass, or damage that will not."""
    passing = isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error)
    return StoreFaultError(str(error)) if passing else DamagedStoreError(str(error))


def set_aside(path: Path) -> Path:
    """Rename a damaged store out of the way, replacing the one set aside before it.

    Raises:
        StoreFaultError: the file system refuses.
    """
    kept = path.with_name(path.name + ".damaged")
    try:
        os.replace(path, kept)
        for suffix in SIDE_FILES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise StoreFaultError(str(error.strerror or error)) from error
    return kept


def sync_directory(directory: Path) -> None:
    """Make a new file's name survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

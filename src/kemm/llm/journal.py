"""Every call to a language model, on disk: what makes a run repeatable, since temperature 0 does not.

Rows are added and never changed. A row is committed before its answer is used, so a killed run has lost
nothing but the calls under way. The file holds what models said of patients: its owner alone may read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kemm.core.errors import InputError, IntegrityError, KemmError, PolicyError
from kemm.core.files import make_private
from kemm.core.files.output import cannot_write
from kemm.llm.backend import Answer, Question, sendable

FORMAT = 1
_APPLICATION = 0x6B656D6D  # "kemm": says whose file it is
ANSWERED = "answered"
MIXTURE = "another model"
"""Outcome of an answer by another model than the journal's, paid for but not used."""
_PATIENCE_S = 60.0
_CHARACTERS_A_TOKEN = 4

_TABLES = """
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    host TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    model_returned TEXT,
    prompt_hash TEXT NOT NULL,
    schema_name TEXT NOT NULL,
    schema_hash TEXT NOT NULL,
    parameters TEXT NOT NULL,
    text_hash TEXT NOT NULL,
    characters INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    mode TEXT NOT NULL,
    answer TEXT,
    finish_reason TEXT,
    tokens_in INTEGER,
    tokens_out INTEGER,
    seconds REAL NOT NULL,
    digest TEXT NOT NULL
) STRICT;
CREATE INDEX questions ON calls (text_hash, prompt_hash, schema_hash, parameters) WHERE answer IS NOT NULL;
CREATE INDEX models ON calls (model_asked, host, model_returned, outcome) WHERE answer IS NOT NULL;
CREATE TRIGGER no_update BEFORE UPDATE ON calls
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON calls
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER no_replace BEFORE INSERT ON calls WHEN EXISTS (SELECT 1 FROM calls WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


@dataclass(frozen=True)
class Asked:
    """Who is asked what, and how: what a journalled answer is found by. The model that answers is not known yet."""

    host: str
    model: str
    """The name that is asked for."""
    parameters: str
    """Settings that shape an answer, as canonical JSON."""
    question: Question


@dataclass(frozen=True)
class Call:
    """One call as it is written down."""

    asked: Asked
    answer: Answer | None
    """None where there was none."""
    outcome: str = ANSWERED
    """For a call without an answer, why: "429", "timeout"."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Spent:
    """What calls took, as far as told; tokens that a server did not count are taken as 4 characters each."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Journal:
    """An SQLite file of calls. Threads may share one; processes may each open the same file.

    Two processes that send the same question at the same moment both pay for it; the first answer counts.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        make_private(self.path)
        self._lock = threading.Lock()
        with self._explained():
            self._database = sqlite3.connect(
                self.path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._explained():
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What was recorded is there already."""
        with self._lock:
            self._database.close()

    def find(self, asked: Asked, *, any_host: bool = False, mixture: bool = False) -> Answer | None:
        """The journalled answer, by a model that the name asked for has stood for at this host (or any).

        The first answer of several counts. With `mixture`, answers of whatever model answered count.

        Raises:
            IntegrityError: The row is not what was written.
        """
        outcomes = (ANSWERED, MIXTURE) if mixture else (ANSWERED, ANSWERED)
        question = asked.question
        row = self._one(
            f"""SELECT * FROM calls WHERE answer IS NOT NULL AND text_hash = ? AND prompt_hash = ?
            AND schema_hash = ? AND parameters = ? AND outcome IN (?, ?) AND model_returned IN ({_MODELS})
            ORDER BY id LIMIT 1""",
            (
                *(question.text_hash, question.prompt_hash, question.schema_hash, asked.parameters),
                *outcomes,
                *_models_of(asked.model, None if any_host else asked.host, mixture),
            ),
        )
        if row is None:
            return None
        if row["digest"] != _digest(row):
            raise IntegrityError(
                f"{self.path}: call {row['id']} is not what was written. Restore the file from a copy, or move it "
                "away to ask everything again."
            )
        return Answer(
            text=row["answer"],
            model=row["model_returned"],
            finish_reason=row["finish_reason"],
            tokens_in=row["tokens_in"],
            tokens_out=row["tokens_out"],
            seconds=row["seconds"],
            mode=row["mode"],
            replayed=True,
        )

    def models(self, model: str, host: str | None = None, *, mixture: bool = False) -> list[str]:
        """The models that a name has stood for at a host, or at any."""
        with self._explained(), self._lock:
            rows = self._database.execute(
                f"SELECT DISTINCT model_returned FROM ({_MODELS}) ORDER BY 1",
                _models_of(model, host, mixture),
            ).fetchall()
        return [row[0] for row in rows]

    def record(self, calls: Sequence[Call], *, mixture: bool = False) -> list[list[str]]:
        """Write calls down, for good, at the cost of one commit.

        For each call: the models of this host's journalled answers, if that of its answer is none of them.
        Such an answer is kept aside: it is found only where a mixture is allowed.
        """
        with self._transaction():
            return [self._record(call, mixture) for call in calls]

    def _record(self, call: Call, mixture: bool) -> list[str]:
        asked, answer = call.asked, call.answer
        if answer is None:
            self._insert(asked, call.outcome, None, call.seconds)
            return []
        query = f"SELECT DISTINCT model_returned FROM ({_MODELS})"
        known = [row[0] for row in self._database.execute(query, _models_of(asked.model, asked.host, False))]
        others = known if known and answer.model not in known and not mixture else []
        self._insert(asked, MIXTURE if others else ANSWERED, answer, answer.seconds)
        return others

    def spent(self, host: str, model: str) -> Spent:
        """What all calls to a model at a host took, those of earlier runs included."""
        row = self._one(
            f"""SELECT COUNT(*) AS calls,
            COALESCE(SUM(COALESCE(tokens_in, characters / {_CHARACTERS_A_TOKEN})), 0) AS tokens_in,
            COALESCE(SUM(COALESCE(tokens_out, LENGTH(answer) / {_CHARACTERS_A_TOKEN})), 0) AS tokens_out
            FROM calls WHERE answer IS NOT NULL AND host = ? AND model_asked = ?""",
            (host, model),
        )
        assert row is not None
        return Spent(row["calls"], row["tokens_in"], row["tokens_out"])

    def _prepare(self) -> None:
        database = self._database
        database.row_factory = sqlite3.Row
        # Where the folder cannot share memory between processes this stays a plain rollback journal.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            if database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0:
                for statement in _statements(_TABLES):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {_APPLICATION}")
                database.execute(f"PRAGMA user_version = {FORMAT}")
        marks = [
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        ]
        if marks[0] != _APPLICATION:
            raise InputError(f"{self.path}: a database, but no journal of kemm's. Name another file.")
        if marks[1] != FORMAT:
            raise InputError(
                f"{self.path}: a journal of format {marks[1]}, and this version of kemm reads format {FORMAT}. "
                "Use the version that wrote it, or name another file."
            )
        fault = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok":
            raise self._damaged(fault)

    def _insert(self, asked: Asked, outcome: str, answer: Answer | None, seconds: float) -> None:
        question = asked.question
        row: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "host": asked.host,
            "model_asked": asked.model,
            "model_returned": answer.model if answer else None,
            "prompt_hash": question.prompt_hash,
            "schema_name": question.schema_name if question.schema is not None else "",
            "schema_hash": question.schema_hash,
            "parameters": asked.parameters,
            "text_hash": question.text_hash,
            "characters": question.characters,
            "outcome": outcome,
            "mode": answer.mode if answer else "",
            "answer": sendable(answer.text) if answer else None,
            "finish_reason": answer.finish_reason if answer else None,
            "tokens_in": answer.tokens_in if answer else None,
            "tokens_out": answer.tokens_out if answer else None,
            "seconds": float(seconds),
        }
        row["digest"] = _digest(row)
        names = ", ".join(row)
        self._database.execute(
            f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
        )

    def _one(self, query: str, values: tuple[object, ...]) -> sqlite3.Row | None:
        with self._explained(), self._lock:
            row: sqlite3.Row | None = self._database.execute(query, values).fetchone()
        return row

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained(), self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The higher bits of a code only say more exactly which.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            told = self._failure(code, error)
            if told is None:
                raise
            raise told from error

    def _failure(self, code: int, error: sqlite3.Error) -> KemmError | None:
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._damaged(str(error))
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return PolicyError(
                f"{self.path}: another process has kept the journal for {_PATIENCE_S:g} s. Wait for it, and run again."
            )
        if code == sqlite3.SQLITE_FULL:
            return cannot_write(self.path, OSError(28, "No space left on device"))
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
            return InputError(
                f"{self.path}: cannot be read or written ({error}). Mend the permissions of the file and of its folder, "
                "or name another."
            )
        return None

    def _damaged(self, fault: str) -> IntegrityError:
        return IntegrityError(
            f"{self.path}: the journal is damaged ({' '.join(fault.split())}). Restore it from a copy; or move it away, "
            f"with its -wal and -shm files, and all is asked again. `sqlite3 {self.path.name} .recover` may save its rows."
        )


_MODELS = """SELECT model_returned FROM calls WHERE answer IS NOT NULL
    AND model_asked = ? AND host = COALESCE(?, host) AND outcome IN (?, ?)"""


def _models_of(model: str, host: str | None, mixture: bool) -> tuple[object, ...]:
    return (model, host, ANSWERED, MIXTURE if mixture else ANSWERED)


def _digest(row: sqlite3.Row | dict[str, Any]) -> str:
    """Of all that is told of a call, so that a flipped bit does not pass for an answer."""
    told = {name: row[name] for name in row.keys() if name not in ("id", "digest")}  # noqa: SIM118 (a Row has no __iter__ of names)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _statements(script: str) -> Iterator[str]:
    # executescript() would end the transaction.
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

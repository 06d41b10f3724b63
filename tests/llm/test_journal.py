"""The journal: what is in it stays, is found again, and is nobody else's."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from asking import question

from kemm.core.errors import InputError, IntegrityError, PolicyError
from kemm.llm import Answer, Journal, Question
from kemm.llm.journal import Asked, Call

MODEL = "tiny-1"


def write(journal: Journal, what: Asked, answered: Answer) -> list[str]:
    (others,) = journal.record([Call(what, answered)])
    return others


def asked(what: Question | None = None, *, host: str = "localhost:1", parameters: str = "{}") -> Asked:
    return Asked(host, "asked", parameters, what or question())


def answer(text: str = "{}", model: str = MODEL) -> Answer:
    return Answer(text=text, model=model, finish_reason="stop", tokens_in=10, tokens_out=5, seconds=0.5)


def test_an_answer_is_found_again_as_it_was(tmp_path: Path) -> None:
    told = replace(answer("Grade 2: \ud800 Ω"), tokens_out=None, mode="text", finish_reason="length")
    with Journal(tmp_path / "a" / "journal.sqlite") as journal:
        assert journal.find(asked()) is None
        assert write(journal, asked(), told) == []
    with Journal(tmp_path / "a" / "journal.sqlite") as journal:
        found = journal.find(asked())
    # Half a surrogate pair has no place in UTF-8.
    assert found == replace(told, text="Grade 2: ? Ω")
    assert found is not None
    assert found.replayed


@pytest.mark.parametrize(
    "other",
    [
        asked(question("Another text.")),
        asked(question(schema={"type": "object"})),
        asked(question(schema=None)),
        asked(parameters='{"seed": 1}'),
        asked(
            Question(
                (replace(question().messages[0], content="Another prompt."), question().messages[1]),
                question().schema,
            )
        ),
        asked(host="localhost:2"),
        replace(asked(), model="another"),
    ],
)
def test_an_answer_is_to_its_own_question_only(other: Asked, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        write(journal, asked(), answer())
        assert journal.find(other) is None
        assert journal.find(asked()) == answer()


def test_the_same_model_at_another_host_is_the_same_model(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        write(journal, asked(), answer("{}"))
        write(journal, asked(question("new"), host="localhost:2"), answer("[]"))
        # Now it is known which model the name stands for there.
        assert journal.find(asked(host="localhost:2")) == answer("{}")
        assert journal.find(asked(host="localhost:3"), any_host=True) == answer("{}")


def test_the_first_of_two_answers_counts(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        write(journal, asked(), answer("first"))
        write(journal, asked(), answer("second"))
        found = journal.find(asked())
    assert found is not None
    assert found.text == "first"


def test_calls_that_are_written_together_are_told_one_by_one(tmp_path: Path) -> None:
    calls = [Call(asked(question(text)), answer(model=model)) for text, model in ("1a", "2a", "3b", "4a")]
    calls[2] = Call(asked(question("3")), answer(model="b"))
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.record(calls) == [[], [], ["a"], []]
        assert [journal.find(call.asked) is None for call in calls] == [False, False, True, False]


def test_another_model_behind_the_name_is_told_and_kept_aside(tmp_path: Path) -> None:
    new = question("new")
    with Journal(tmp_path / "journal.sqlite") as journal:
        write(journal, asked(), answer())
        assert write(journal, asked(new), answer(model="tiny-2")) == [MODEL]
        assert journal.find(asked(new)) is None
        assert journal.find(asked(new), mixture=True) == answer(model="tiny-2")
        assert journal.models("asked", "localhost:1") == [MODEL]
        assert journal.models("asked", "localhost:1", mixture=True) == [MODEL, "tiny-2"]
        assert write(journal, asked(new, host="localhost:2"), answer(model="tiny-2")) == []


def test_failures_are_written_down_and_answer_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.record([Call(asked(), None, "429", 0.1)])
        assert journal.find(asked()) is None
        assert journal.models("asked") == []
        assert journal.spent("localhost:1", "asked").calls == 0
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        assert database.execute("SELECT outcome, seconds FROM calls").fetchall() == [("429", 0.1)]
    database.close()


def test_what_was_spent_is_counted_by_host_and_model(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        write(journal, asked(), answer())
        write(
            journal,
            asked(question("x" * 400, schema=None)),
            replace(answer("y" * 40), tokens_in=None, tokens_out=None),
        )
        write(journal, asked(host="localhost:2"), answer())
        spent = journal.spent("localhost:1", "asked")
    # "What is the grade?" and 400 letters at 4 a token, beside the 10 that were told.
    assert (spent.calls, spent.tokens_in, spent.tokens_out) == (2, 10 + 418 // 4, 5 + 10)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    before = os.umask(0)
    try:
        with Journal(path) as journal:
            write(journal, asked(), answer())
            there = sorted(tmp_path.iterdir())
            modes = {stat.S_IMODE(file.stat().st_mode) for file in there}
    finally:
        os.umask(before)
    assert [file.name for file in there] == ["journal.sqlite", "journal.sqlite-shm", "journal.sqlite-wal"]
    assert modes == {0o600}
    path.chmod(0o644)
    Journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE calls SET answer = 'x'",
        "UPDATE calls SET id = 2 WHERE id = 1",
        "DELETE FROM calls",
        "DELETE FROM calls WHERE id = 1",
        "REPLACE INTO calls SELECT * FROM calls",
    ],
)
def test_nothing_in_it_can_be_changed(statement: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        write(journal, asked(), answer())
        database = sqlite3.connect(journal.path)
        with pytest.raises(sqlite3.IntegrityError, match="the journal is append-only"):
            database.execute(statement)
        database.close()
        assert journal.find(asked()) == answer()


def damaged(path: Path, how: str) -> Path:
    with Journal(path) as journal:
        for number in range(50):
            write(journal, asked(question(f"text {number}")), answer("long " * 200))
    data = bytearray(path.read_bytes())
    match how:
        case "truncated":
            del data[len(data) // 2 :]
        case "overwritten":
            data[4096 * 3 : 4096 * 5] = b"\xff" * 8192
        case "not a database":
            data[:100] = b"x" * 100
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("how", ["truncated", "overwritten", "not a database"])
def test_a_damaged_file_is_told_with_a_remedy(how: str, tmp_path: Path) -> None:
    path = damaged(tmp_path / "journal.sqlite", how)
    with pytest.raises(
        IntegrityError, match=r"the journal is damaged .* Restore it from a copy; or move it away"
    ) as caught:
        Journal(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 6


def test_a_flipped_byte_in_an_answer_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        write(journal, asked(), answer("the tumour is of grade 2"))
    data = path.read_bytes()
    assert data.count(b"grade 2") == 1
    path.write_bytes(data.replace(b"grade 2", b"grade 3"))
    with Journal(path) as journal, pytest.raises(IntegrityError, match="call 1 is not what was written"):
        journal.find(asked())


def test_another_database_is_not_written_into(tmp_path: Path) -> None:
    path = tmp_path / "mine.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE mine (x)")
    database.commit()
    database.close()
    with pytest.raises(InputError, match=r"mine.sqlite: a database, but no journal of kemm's\. Name another"):
        Journal(path)


def test_a_journal_of_another_format_names_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(InputError, match="a journal of format 9, and this version of kemm reads format 1"):
        Journal(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file/journal\.sqlite: cannot be written \(a folder on the way"):
        Journal(tmp_path / "file" / "journal.sqlite")
    with pytest.raises(InputError, match="cannot be written"):
        Journal(tmp_path)


def test_a_full_disk_is_told_and_what_was_written_stays(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        write(journal, asked(), answer())
        (pages,) = journal._database.execute("PRAGMA page_count").fetchone()
        journal._database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(InputError, match=r"journal\.sqlite: the disk is full\. Free some space"):
            write(journal, asked(question("another")), answer("long " * 10_000))
        assert journal.find(asked()) == answer()


def test_a_journal_that_another_keeps_to_itself_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kemm.llm.journal._PATIENCE_S", 0.1)
    with Journal(tmp_path / "journal.sqlite") as journal:
        other = sqlite3.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(PolicyError, match=r"another process has kept the journal for 0\.1 s"):
            write(journal, asked(), answer())
        assert journal.find(asked()) is None  # reading goes on
        other.close()
        write(journal, asked(), answer())


def test_threads_may_share_one(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:

        def work(thread: int) -> None:
            for number in range(20):
                what = asked(question(f"{thread}/{number}"))
                write(journal, what, answer(f"{thread}/{number}"))
                found = journal.find(what)
                assert found is not None
                assert found.text == f"{thread}/{number}"

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.spent("localhost:1", "asked").calls == 80


WRITER = """
import sys
from asking import question
from test_journal import answer, asked, write
from kemm.llm import Journal

journal = Journal(sys.argv[1])
for number in range(40):
    write(journal, asked(question(f"{sys.argv[2]}/{number}")), answer(sys.argv[2]))
"""


def test_processes_may_share_one_and_see_each_others_answers(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], env=environment)
        for name in ("a", "b")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with Journal(path) as journal:
        found = [journal.find(asked(question(f"{name}/{number}"))) for name in "ab" for number in range(40)]
    assert [one.text for one in found if one] == ["a"] * 40 + ["b"] * 40

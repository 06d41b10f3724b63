from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kemm.core.errors import InputError, IntegrityError
from kemm.core.files import write_text
from kemm.core.store import Store


def _add(store: Store, text: str = "hazards", key: str = "abc") -> Path:
    with store.adding("runs", key, model="kemm") as folder:
        write_text(folder / "a.txt", text)
        write_text(folder / "deep" / "b.txt", "more")
    return store.root / "runs" / key


def test_an_entry_is_there_when_its_block_has_ended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.adding("runs", "abc", model="kemm") as folder:
        write_text(folder / "a.txt", "hazards")
        assert not store.has("runs", "abc")
    entry = store.get("runs", "abc")
    assert entry.path("a.txt").read_text() == "hazards"
    assert entry.made_by["model"] == "kemm"
    assert "torch" in entry.made_by["environment"]


def test_an_interrupted_entry_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def interrupted() -> None:
        with store.adding("runs", "abc") as folder:
            write_text(folder / "a.txt", "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not store.has("runs", "abc")
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("name", ["a.txt", "deep/b.txt"])
def test_a_flipped_bit_is_noticed_and_named(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    path = _add(store) / name
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="was changed since it was written") as raised:
        store.get("runs", "abc")
    assert str(path) in str(raised.value)
    assert f"Delete the folder {tmp_path / 'runs' / 'abc'} and run again: it is made anew." in str(
        raised.value
    )
    assert raised.value.exit_code == 6


def test_a_deleted_file_is_noticed_and_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (_add(store) / "a.txt").unlink()
    with pytest.raises(IntegrityError, match=r"a\.txt is missing since it was written"):
        store.get("runs", "abc")


@pytest.mark.parametrize("manifest", ["{", "[]", '{"format": 1}'])
def test_a_damaged_manifest_is_noticed(tmp_path: Path, manifest: str) -> None:
    store = Store(tmp_path)
    (_add(store) / "entry.json").write_text(manifest)
    with pytest.raises(IntegrityError, match=r"entry\.json"):
        store.get("runs", "abc")


def test_an_entry_of_another_format_is_not_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (_add(store) / "entry.json").write_text('{"format": 99, "sha256": {}, "made_by": {}}')
    with pytest.raises(IntegrityError, match=r"another version of kemm \(format 99, not 1\)"):
        store.get("runs", "abc")


def test_the_first_of_two_that_make_one_entry_wins_and_the_second_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.adding("runs", "abc") as folder:
        write_text(folder / "a.txt", "second to finish")
        _add(store, "first to finish")
    assert store.get("runs", "abc").path("a.txt").read_text() == "first to finish"
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == ["abc"]


MAKE_ALL = """
import random, sys
from pathlib import Path
from kemm.core.store import Store

store, keys = Store(Path(sys.argv[1])), [f"key{number}" for number in range(20)]
random.seed(int(sys.argv[2]))
for key in random.sample(keys, len(keys)):
    with store.adding("thing", key) as folder:
        (folder / "a.txt").write_text(key * 10_000)
    assert store.get("thing", key).path("a.txt").read_text() == key * 10_000
"""


def test_several_processes_may_make_the_same_entries_side_by_side(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MAKE_ALL, tmp_path, str(seed)], stderr=subprocess.PIPE)
        for seed in range(4)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    assert ends == [(b"", 0)] * 4
    assert sorted(path.name for path in (tmp_path / "thing").iterdir()) == sorted(
        f"key{n}" for n in range(20)
    )


def test_a_killed_process_leaves_no_entry_and_its_rest_is_swept_up(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from kemm.core.store import Store\n"
        f"with Store(Path({str(tmp_path)!r})).adding('runs', 'abc') as folder:\n"
        "    (folder / 'a.txt').write_text('half'); print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    store = Store(tmp_path)
    with store.adding("runs", "abc") as folder:  # the other one lives: its scratch folder is left alone
        assert len(list(folder.parent.iterdir())) == 2
        raise_killed(process)
    assert store.has("runs", "abc")
    _add(store, key="abc")
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == ["abc"]


def raise_killed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
    time.sleep(0.01)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    with (
        pytest.raises(InputError, match=r"cannot be written .*Choose another folder"),
        Store(tmp_path / "store").adding("runs", "abc"),
    ):
        pass


def test_a_key_cannot_leave_the_store(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be plain names"):
        Store(tmp_path).has("runs", "../../etc")

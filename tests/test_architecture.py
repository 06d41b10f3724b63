"""The shape of the package: who may import whom, and what a start costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import kemm

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "pyarrow", "pydantic", "h5py")


def modules_after(statement: str) -> set[str]:
    """The top-level modules that are loaded in a fresh process after `statement`."""
    script = f"import sys\n{statement}\nprint('loaded:', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_files_import_only_what_is_below_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert modules_after("import kemm").isdisjoint(HEAVY)


def test_help_loads_nothing_heavy() -> None:
    asked = "import kemm.cli\ntry:\n    kemm.cli.app(['--help'])\nexcept SystemExit:\n    pass"
    assert modules_after(asked).isdisjoint(HEAVY)


def test_every_public_name_is_found_where_the_package_says() -> None:
    assert [name for name in kemm.__all__ if getattr(kemm, name) is None] == []
    with pytest.raises(AttributeError, match="module 'kemm' has no attribute 'nothing'"):
        kemm.nothing  # noqa: B018


def test_oracles_of_tests_are_not_imported_by_the_package() -> None:
    # scikit-survival is GPL; lifelines pins an old pandas. Neither is a dependency.
    sources = (ROOT / "src").rglob("*.py")
    named = [path for path in sources if {"sksurv", "lifelines"} & imported(path)]
    assert named == []


def imported(path: Path) -> set[str]:
    """Top-level modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_nothing_is_loaded_in_a_way_that_could_run_code() -> None:
    safe = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}
    unsafe = [
        f"{path.name}:{call.lineno}"
        for path in (ROOT / "src").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and (ast.unparse(call.func).startswith("pickle.") or ast.unparse(call.func) in safe)
        and safe.get(ast.unparse(call.func))
        not in [ast.unparse(keyword).strip() for keyword in call.keywords]
    ]
    assert unsafe == []

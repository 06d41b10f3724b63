"""What the documentation says is so: references, trees, commands, links and examples."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command

from kemm.cli import app
from kemm.config import Study, StudyConfig
from kemm.core.errors import UsageError
from kemm.pipeline import check

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*/study.yaml"))
WRITTEN_BY_RUNS = {"docs/results.md"}
"""Pages that measurements write; they may not be there yet."""
FILE_SUFFIXES = {"csv", "gmt", "h5", "html", "json", "parquet", "safetensors", "yaml"}
"""`folds.csv` is a file, `folds.count` a setting."""


def script(name: str) -> ModuleType:
    """A script of the repository, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = script("reference")


def ids(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def code_of(page: Path) -> str:
    """All that stands in code: fenced, indented, or between backticks."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```.*?^```", text, flags=re.M | re.S)
    indented = re.findall(r"^ {4}.*$", text, flags=re.M)
    return "\n".join([*fenced, *indented, *re.findall(r"`([^`\n]+)`", text)])


# --- the reference -----------------------------------------------------------------------------


def test_the_reference_of_study_yaml_is_what_the_settings_say() -> None:
    written = (ROOT / "docs" / "study-yaml.md").read_text(encoding="utf-8")
    assert written == REFERENCE.reference(), "run `make docs-reference`"


def sections(model: type[BaseModel] = StudyConfig, path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section of study.yaml, with its path."""
    yield path, model
    for name, field in model.model_fields.items():
        place, inner = REFERENCE.nested(f"{path}.{name}".lstrip("."), field.annotation)
        if inner is not None:
            yield from sections(inner, place)


@pytest.mark.parametrize(
    ("path", "model"), list(sections()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_setting_says_what_it_is(path: str, model: type[BaseModel]) -> None:
    silent = [
        name
        for name, field in model.model_fields.items()
        if not field.description and REFERENCE.nested(name, field.annotation)[1] is None
    ]
    assert silent == [], f"settings of {path or 'the top level'} without a docstring"


# --- examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", EXAMPLES, ids=ids(EXAMPLES))
def test_an_example_loads_and_looks_for_its_tables_in_the_data_root(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tcga").mkdir()
    monkeypatch.setenv("KEMM_DATA", str(tmp_path))
    study = Study.load(file.parent)
    assert study.resolve(study.config.cohort.table).is_relative_to(tmp_path / "tcga")
    assert set(study.config.cohort.endpoints) == {"OS", "DSS", "PFI"}
    assert study.config.reports is not None
    assert study.config.genomics is not None


@pytest.mark.parametrize("file", EXAMPLES, ids=ids(EXAMPLES))
def test_an_example_takes_another_data_root_for_one_run(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEMM_DATA", raising=False)
    study = Study.load(file.parent, [f"data_root={tmp_path}"])
    assert study.resolve(study.config.cohort.table).is_relative_to(tmp_path)


def test_an_example_without_a_data_root_says_what_to_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEMM_DATA", raising=False)
    study = Study.load(EXAMPLES[0].parent)
    with pytest.raises(UsageError, match=r"needs the environment variable KEMM_DATA, .*export KEMM_DATA="):
        study.resolve(study.config.cohort.table)


@pytest.mark.parametrize("file", EXAMPLES, ids=ids(EXAMPLES))
def test_an_example_has_no_fault_on_the_real_cohort(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    root = Path(os.environ.get("KEMM_DATA", ROOT.parent / "shared" / "data"))
    if not (root / "tcga").is_dir():
        pytest.skip(f"no real cohorts in {root}; set KEMM_DATA to their folder")
    monkeypatch.setenv("KEMM_DATA", str(root))
    inputs, faults = check(Study.load(file.parent))
    assert faults.errors == []
    assert inputs is not None
    assert inputs.fold_kind == "site-disjoint"
    assert {"report", "genes", "covariates"} <= set(inputs.modalities)


def test_there_is_an_example_for_each_public_cohort() -> None:
    assert [file.parent.name for file in EXAMPLES] == ["tcga-brca", "tcga-kirc", "tcga-luad"]


def study_snippets() -> list[tuple[str, str]]:
    """Every YAML block of the documentation that holds sections of study.yaml, with its page."""
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        if set(yaml.safe_load(block)) <= set(StudyConfig.model_fields)
    ]


@pytest.mark.parametrize(("page", "text"), study_snippets(), ids=lambda value: value[:20].strip())
def test_settings_shown_in_the_documentation_are_settings(page: str, text: str, tmp_path: Path) -> None:
    cohort = "cohort: {table: c.csv, endpoints: {OS: {time: t, event: e}}}\n"
    shown = text if "cohort:" in text else cohort + text
    (tmp_path / "study.yaml").write_text(shown, encoding="utf-8")
    assert Study.load(tmp_path).config.cohort.endpoints


# --- commands ----------------------------------------------------------------------------------


def commands() -> dict[str, set[str]]:
    """Options of each command; "" for those before a command."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    found = {"": {option for parameter in group.params for option in parameter.opts}}
    for name, command in group.commands.items():
        found[name] = {option for parameter in command.params for option in parameter.opts}
    return found


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_commands_in_the_documentation_exist(page: Path) -> None:
    known = commands()
    for line in code_of(page).splitlines():
        called = re.match(r"\s*(?:\$ )?(?:\.venv/bin/)?(?:python -m )?kemm (.+)", line.partition("#")[0])
        words = called[1].split() if called else []
        if not words or (words[0] == "--debug" and not (words := words[1:])):
            continue
        assert words[0] in known, f"there is no command `kemm {words[0]}`: {line.strip()}"
        options = {word for word in words if word.startswith("--")}
        assert options <= known[words[0]] | {"--help"}, f"there is no such option: {line.strip()}"


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_make_targets_in_the_documentation_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    named = set(re.findall(r"^\s*make ([a-z-]+)", code_of(page), flags=re.M))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_settings_given_on_the_command_line_in_the_documentation_exist(page: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("cohort: {table: c.csv, endpoints: {OS: {time: t, event: e}}}")
    for override in re.findall(r"--set ([a-z_.]+=[^\s`;]+)", page.read_text(encoding="utf-8")):
        if not override.startswith("section.key="):
            Study.load(tmp_path, [override])


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_settings_named_in_the_documentation_exist(page: Path) -> None:
    known = dict(sections())
    for name in re.findall(r"`((?:[a-z_]+\.)+[a-z_]+)`", page.read_text(encoding="utf-8")):
        section, _, key = name.rpartition(".")
        if section in known and key not in FILE_SUFFIXES:
            assert key in known[section].model_fields, f"there is no setting {name}"


# --- links and trees ---------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if target.relative_to(ROOT).as_posix() in WRITTEN_BY_RUNS:
            continue
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link} has no such heading"


def tree_of_readme() -> list[str]:
    """Paths of the README's tree, folders with a final slash."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = readme.partition("## Where things are")[2].partition("\n## ")[0].splitlines()
    paths, parents = [], [""]
    for line in lines:
        entry = re.match(r" {4}( *)([\w./-]+)", line)
        if not entry:
            continue
        depth = len(entry[1]) // 2
        parents = [*parents[: depth + 1], parents[depth] + entry[2]]
        paths.append(parents[-1])
    return paths


def test_the_tree_in_the_readme_is_true() -> None:
    named = set(tree_of_readme())
    package = ROOT / "src" / "kemm"
    inside = {f"src/kemm/{path.name}/" for path in package.iterdir() if (path / "__init__.py").is_file()}
    inside |= {f"src/kemm/{path.name}" for path in package.glob("*.py") if not path.name.startswith("__")}
    around = {f"{name}/" for name in ("tests", "benchmarks", "examples", "scripts", "docs")}
    assert named == inside | around | {"src/kemm/"}


def test_the_order_of_the_tree_is_the_order_of_the_layers() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    place = {
        part.strip().removeprefix("kemm."): rank
        for rank, layer in enumerate(layers)
        for part in layer.split("|")
    }
    listed = [path.removeprefix("src/kemm/").rstrip("/").removesuffix(".py") for path in tree_of_readme()]
    ranks = [place[name] for name in listed if name in place]
    assert len(ranks) == len(place)
    assert ranks == sorted(ranks)


def test_pages_of_the_site_are_the_pages_of_the_folder() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = {page if isinstance(page, str) else next(iter(page.values())) for page in nav}
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert listed | {"results.md"} == there | {"results.md"}


# --- installation ------------------------------------------------------------------------------


def test_every_dependency_is_pinned_for_ci() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in ("excel", "text", "llm", "llm-local", "oracles", "dev"):
        wanted += project["project"]["optional-dependencies"][extra]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {plain(line.partition("==")[0]) for line in lines if "==" in line and not line.startswith("#")}
    names = {plain(re.split(r"[\[<>=~! ]", requirement)[0]) for requirement in wanted} - {"kemm"}
    assert names - pinned == set()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+|#.*", line) for line in lines)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

# What a person does here. `make` alone lists the targets.

# The first of these that is Python 3.11 or newer; or say which: make test PYTHON=python3.12
PYTHON ?= $(shell for candidate in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$candidate" && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-study

# Pins what is installed, and (both names: old and new pip) what the package is built with.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-slow lint bench bench-refine bench-slides results results-demo docs-reference docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.installed ## make .venv and install kemm in it

setup-dev: $(VENV)/.installed-dev ## and what tests and checks need

demo: setup ## make a synthetic cohort with slides, run everything on it, print the table, name the report
	$(BIN)/kemm demo --images $(DEMO)
	$(BIN)/kemm slides $(DEMO)
	$(BIN)/kemm check $(DEMO)
	$(BIN)/kemm run $(DEMO)

test: setup-dev ## style, types, layers and all tests that are not slow
	scripts/check.sh lint
	scripts/check.sh tests

test-slow: setup-dev ## the tests that take minutes
	scripts/check.sh slow-tests

lint: setup-dev ## style, types and layers only
	scripts/check.sh lint

bench: setup ## measure training against a baseline and the machine, and write docs/benchmarks.md; half an hour
	$(BIN)/python -m benchmarks.training --growth patches patients --write docs/benchmarks.md

bench-refine: setup ## measure the refiner on annotated reports (KEMM_DATA) and write docs/refinement.md
	$(BIN)/python benchmarks/refine.py --write docs/refinement.md

bench-slides: setup ## measure reading and encoding of slides and write docs/slides-speed.md; needs 4 GB of disk
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[wsi,encoders]'
	$(BIN)/python benchmarks/slides.py --large 100000 \
		--architecture resnet50 vit_small_patch16_224 vit_large_patch16_224 --write docs/slides-speed.md

results-demo: setup ## compare all models on the synthetic cohort and write docs/results-demo.md
	$(BIN)/python scripts/demo_results.py --controls

results: setup ## run the TCGA examples (KEMM_DATA) and write docs/results.md; takes hours
	$(BIN)/python scripts/results.py

docs-reference: setup ## write docs/study-yaml.md and the table of docs/encoders.md from the code
	$(BIN)/python scripts/reference.py --write docs/study-yaml.md
	$(BIN)/python scripts/encoders_page.py --write docs/encoders.md

docs: setup ## the documentation as a site, in site/
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/mkdocs build --strict

clean: ## remove the environment and all caches; studies and runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage build dist site
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found. Install it, or run: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[wsi]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

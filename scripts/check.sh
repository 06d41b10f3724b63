#!/bin/sh
# The checks of this project: pre-commit, `make test` and CI all run these.
#
#   scripts/check.sh lint         style, types, layers; seconds
#   scripts/check.sh tests        all tests that are not slow, with shapes checked and coverage
#   scripts/check.sh slow-tests   the rest
set -eu
cd "$(dirname "$0")/.."
# The project's environment, whatever is active.
[ ! -d .venv/bin ] || PATH="$PWD/.venv/bin:$PATH"
# Tests run side by side on the cores; threads of one test would only get in the others' way.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# Shapes and types of these packages are checked at each call, in tests only.
SHAPES=--jaxtyping-packages=kemm.survival,kemm.model,beartype.beartype

case "${1:-}" in
lint)
    ruff check .
    ruff format --check .
    mypy
    lint-imports
    ;;
tests)
    pytest -n "${KEMM_TEST_WORKERS:-2}" -m "not slow" "$SHAPES" --cov --cov-report=term:skip-covered
    ;;
slow-tests)
    pytest -n "${KEMM_TEST_WORKERS:-2}" -m slow --timeout 3600
    ;;
*)
    echo "usage: scripts/check.sh lint|tests|slow-tests" >&2
    exit 2
    ;;
esac

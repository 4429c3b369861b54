#!/usr/bin/env bash
# Sets everything up and runs the tests: lint, types, library, MRML, panels, workbench in a browser.
#   bash test.sh          all but the slow and GPU suites
#   bash test.sh --slow   the slow and GPU suites
set -u
cd "$(dirname "$0")"
. .ci/setup.sh
set -e
setup workbench test
setup_qt
setup_browser
set +e
export OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen
failed=0
step() { # title, command
    printf '\n== %s\n' "$1"
    shift
    "$@" || { failed=1; printf 'FAILED: %s\n' "$*"; }
}
bin=.venv/bin
if [ "${1:-}" = --slow ]; then
    step "slow and GPU tests" $bin/pytest -q -m "slow or gpu" --timeout=1800
    exit $failed
fi
step "ruff" $bin/ruff check .
step "format" $bin/ruff format --check .
step "types" $bin/mypy
step "spelling" $bin/codespell README.md CHANGELOG.md CONTRIBUTING.md docs valorlib valor_workbench Testing
step "panels" $bin/pytest -q -n 2 --dist loadfile Testing/panels -m "not slow and not gpu and not slicer and not web"
step "browser" $bin/pytest -q Testing/workbench -m "web and not slow"
step "library" $bin/pytest -q -n 2 --cov --cov-report=term:skip-covered --ignore=Testing/panels -m "not slow and not gpu and not slicer and not web"
exit $failed

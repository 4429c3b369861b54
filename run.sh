#!/usr/bin/env bash
# Sets everything up and runs the main job: the workbench with a generated pair, or without a page:
#   bash run.sh                 workbench in the browser, on a generated breast pair
#   bash run.sh --headless      the same job on the command line; results in out/
#   bash run.sh ARGUMENTS...    any command of valor, e.g. bash run.sh register fixed.nrrd moving.nrrd --output result
set -eu
cd "$(dirname "$0")"
. .ci/setup.sh
setup workbench
case "${1:-}" in
    "") exec .venv/bin/valor workbench --demo ;;
    --headless)
        .venv/bin/valor demo --output demo --overwrite
        .venv/bin/valor register demo/fixed.nrrd demo/moving.nrrd --seeds demo/seeds.csv --output out --overwrite
        .venv/bin/valor evaluate out --landmarks demo/landmarks.csv
        printf '\nThe result is in out/; open out/report.html to see it.\n'
        ;;
    *) exec .venv/bin/valor "$@" ;;
esac

#!/bin/sh
# One environment a peer under build/peers/, so that no two ITK builds meet in one process.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
for pair in greedy=picsl-greedy==1.4.0.3 ants=antspyx==0.6.3 elastix=itk-elastix==0.25.4 demons=SimpleITK==2.5.7 \
    pycpd=pycpd==2.0.0; do
    name=${pair%%=*}
    package=${pair#*=}
    home=build/peers/$name
    [ -x "$home/bin/python" ] || "$python" -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check "$package" numpy
done

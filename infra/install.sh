#!/bin/sh
# Installs Copal as the image has it: install.sh SOURCE ENVIRONMENT cpu|cuda
#
# SOURCE is a checkout: pyproject.toml, constraints.txt, README.md, LICENSE, copal/, features/ and
# registry.yaml. ENVIRONMENT is made. The versions are those of constraints.txt.
set -eu

source=$1
environment=$2
target=$3
case $target in
cpu) torch="--torch-backend cpu" ;; # a fifth of the size: no CUDA libraries
cuda) torch="" ;;                   # what PyPI has brings its CUDA; the host brings the driver
*)
    echo "install.sh: target '$target' is neither cpu nor cuda" >&2
    exit 2
    ;;
esac

python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$source/constraints.txt" uv
cd "$source" # where uv reads what pyproject.toml overrides
# shellcheck disable=SC2086
"$environment/bin/uv" pip install --quiet --python "$environment/bin/python" $torch \
    --constraint constraints.txt '.[argo]'
"$environment/bin/copal" --version

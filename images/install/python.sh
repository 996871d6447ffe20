#!/bin/sh
# Installs a hashed lock into a virtual environment; the toolkit makes the result a layer.
#
#     python.sh DIRECTORY
#
# /mnt is the toolkit's and never part of a layer: uv, the lock, certificates. The environment of this
# program carries the settings of the package index and its credentials.
set -eu

directory=$1
export PATH="/mnt/uv/bin:$PATH"

uv venv --quiet --python /usr/bin/python3 "$directory"
uv pip sync --require-hashes --compile-bytecode --python "$directory/bin/python" /mnt/requirements.lock
if [ -d /mnt/site-packages ]; then
    cp -R --no-preserve=ownership,timestamps /mnt/site-packages/. "$(echo "$directory"/lib/python3*/site-packages)"
fi

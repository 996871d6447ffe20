#!/bin/sh
# Builds what a lock has only as sources, in a container that is thrown away: the wheels stay in the cache,
# from which python.sh installs them where there is no compiler.
#
#     build.sh DIRECTORY PACKAGE...
#
# DIRECTORY is where the packages will be; PACKAGE is a Debian package that building needs.
set -eu

directory=$1
shift
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet --quiet
apt-get install --quiet --yes --no-install-recommends --option Dpkg::Use-Pty=0 "$@"
export PATH="/mnt/uv/bin:$PATH"
uv venv --quiet --python /usr/bin/python3 "$directory"
uv pip sync --require-hashes --python "$directory/bin/python" /mnt/requirements.lock

#!/bin/sh
# Installs Debian packages into the container that it runs in; the toolkit makes its changes a layer.
#
#     system.sh USER:UID:GROUP:GID:HOME PACKAGE...
#
# /mnt is the toolkit's and never part of a layer: apt's settings and sources as this machine has them
# (APT_CONFIG names them), and in /mnt/rootfs files that must be there before the packages are.
set -eu

account=$1
shift
old_ifs=$IFS
IFS=:
# shellcheck disable=SC2086 # 2026-11-24: The fields of the account are what is wanted.
set -- $account -- "$@"
IFS=$old_ifs
name=$1 uid=$2 group=$3 gid=$4 home=$5
shift 6

# A fixed id, before a package takes the next free one: volumes outlive images.
getent group "$gid" > /dev/null || groupadd --system --gid "$gid" "$group"
useradd --no-log-init --uid "$uid" --gid "$gid" --home-dir "$home" --shell /bin/bash "$name"
# A package that makes its own account takes the one that is there, and some look for the group by name.
if [ -d /mnt/rootfs ]; then
    cp -R --no-preserve=ownership /mnt/rootfs/. /
fi

# Packages would start their services as they do on a machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 0755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet --quiet
apt-get install --quiet --yes --no-install-recommends --option Dpkg::Use-Pty=0 "$@"

# What differs from one installation to the next, and nobody needs.
rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old

# shellcheck shell=sh
# Sourced by the doors, which set `door` to their own path. Makes sure that .venv in the checkout is
# what requirements/toolkit.lock says, and sets `checkout` and `python`. Nearly always there is
# nothing to do, and that costs three processes of about a millisecond; see install.sh for the rest.
# shellcheck disable=SC2154 # 2026-11-24: The doors set it before they source this file.
checkout=$(CDPATH='' cd -P -- "${door%/*}/.." && pwd -P)
lock=$checkout/requirements/toolkit.lock
venv=$checkout/.venv
python=$venv/bin/python
# The lock that .venv was made from; written last, so that its absence means "half made".
stamp=$venv/.toolkit.lock

if ! { [ -x "$python" ] && cmp -s "$lock" "$stamp"; }; then
  # shellcheck source=scripts/install.sh
  . "$checkout/scripts/install.sh"
fi

# The user's own uv comes first; this is the one that made .venv.
PATH=$PATH:$venv/uv
PYTHONPATH=$checkout
export PATH PYTHONPATH

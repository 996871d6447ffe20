# shellcheck shell=sh
# Sourced by environment.sh when .venv is missing, half made or made from another lock. Everything
# happens under a lock on the checkout's directory, which ends with the processes that hold it.
# shellcheck disable=SC2154 # 2026-11-23: checkout, lock, venv, python, stamp and door are environment.sh's.

say() {
  printf '%s: %s\n' "${door##*/}" "$*" >&2
}

fail() {
  say "$*"
  exit 4
}

# Sets `base` to the newest Python that runs. A name on PATH proves nothing: pyenv's may only say no.
find_python() {
  unfit=
  for name in python3.13 python3.12 python3.11 python3; do
    found=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) || continue
    case ${found%% *} in
      3.1[1-9] | 3.[2-9][0-9])
        base=${found#* }
        version=${found%% *}
        return
        ;;
    esac
    unfit="$unfit $name is ${found%% *}."
  done
  fail "Python 3.11 or newer is needed;${unfit:- no Python was found.} Install one and run this again;" \
    "on Debian and Ubuntu: apt install python3.11 python3.11-venv"
}

# Takes the lock on a directory as descriptor 9; says so when another process has it.
take_lock() {
  exec 9<"$1"
  "$base" -I -c '
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print(sys.argv[1], file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # A file system without locks.
' "${door##*/}: another process is installing into $1; waiting for it." 9<&9
}

# Sets `cache`: as root the machine's, else the user's.
find_cache() {
  if [ -n "${AIRFLOW_PLATFORM_CACHE:-}" ]; then
    cache=$AIRFLOW_PLATFORM_CACHE
  elif [ "$(id -u)" = 0 ]; then
    cache=/var/cache/airflow-platform
  elif [ "$(uname)" != Darwin ] && [ -n "${XDG_CACHE_HOME:-}" ]; then
    cache=$XDG_CACHE_HOME/airflow-platform
  elif [ -z "${HOME:-}" ]; then
    fail "HOME is not set, so there is no place for the cache. Set HOME, or AIRFLOW_PLATFORM_CACHE to a directory."
  elif [ "$(uname)" = Darwin ]; then
    cache=$HOME/Library/Caches/airflow-platform
  else
    cache=$HOME/.cache/airflow-platform
  fi
  mkdir -p "$cache/uv" 2>/dev/null || fail "$cache cannot be written. Set AIRFLOW_PLATFORM_CACHE to a directory that can."
  cache=$(CDPATH='' cd -- "$cache" && pwd -P)
}

# Runs a program; on failure says what could not be done, the cause, and what to do. On a terminal
# its own progress is shown, elsewhere nothing but the last line of a failure.
attempt() {
  aim=$1
  shift
  cause=
  if [ -t 2 ]; then
    "$@" >&2 && return
  else
    output=$("$@" 2>&1) && return
    # shellcheck disable=SC2016 # 2026-11-24: The dollar sign is sed's last line.
    cause=$(printf '%s\n' "$output" | sed -n '/[^ ]/{s/^ *//;s/^[Cc]aused* *b*y*: //;s/^[Ee][Rr][Rr][Oo][Rr]: //;s/\.$//;h;};${x;p;}')
  fi
  rm -rf "$broken"
  fail "$aim failed${cause:+: $cause}. Check the network; behind a company mirror set PIP_INDEX_URL" \
    "(and PIP_CERT, if it has a certificate of its own) or write them into pip.conf; then run this again." \
    "Nothing half made was left behind."
}

# Sets `uv`: the user's own, else one that pip installs into the cache.
find_uv() {
  uv=$(command -v uv) && "$uv" --version >/dev/null 2>&1 && return
  find_cache
  wanted=$checkout/requirements/bootstrap.lock
  kept=$cache/uv/$(cksum <"$wanted" | tr -d ' \n')
  uv=$kept/bin/uv
  [ -x "$uv" ] && return
  "$base" -I -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$base cannot make virtual environments. On Debian and Ubuntu: apt install python$version-venv;" \
      "or install uv. Then run this again."
  take_lock "$cache/uv"
  [ -x "$uv" ] && return
  say "installing uv into $cache (once)"
  rm -rf "$cache"/uv/new.*
  broken=$cache/uv/new.$$
  attempt "Making a virtual environment in $cache" "$base" -I -m venv "$broken"
  attempt "Installing uv" "$broken/bin/python" -I -m pip install --disable-pip-version-check \
    --retries 2 --require-hashes --no-deps --requirement "$wanted"
  mv "$broken" "$kept"
}

# Runs uv with pip's index and certificate settings, away from the settings of the caller's project.
run_uv() (
  CDPATH='' cd -- "$checkout" || exit
  eval "$("$base" -I "$checkout/airflow_platform/tools/package_index.py")"
  quiet=--quiet
  [ -t 2 ] && quiet=
  # shellcheck disable=SC2086 # 2026-11-23: Empty means no argument.
  "$uv" $quiet "$@"
)

install() {
  umask 022
  [ -w "$checkout" ] || fail "$checkout cannot be written, so .venv cannot be made in it. Use a checkout of your own."
  find_python
  find_uv
  take_lock "$checkout"
  # Another door may have done it meanwhile.
  [ -x "$python" ] && cmp -s "$lock" "$stamp" && return
  say "installing the toolkit's packages into $venv (when the lock changes; some seconds)"
  broken=$venv
  if ! [ -x "$python" ] || ! [ -e "$stamp" ]; then
    rm -rf "$venv"
    attempt "Making $venv" run_uv venv --no-project --python "$base" "$venv"
  fi
  rm -f "$stamp"
  cp "$lock" "$venv/.syncing.lock"
  attempt "Installing the toolkit's packages" run_uv pip sync --python "$python" --require-hashes "$venv/.syncing.lock"
  mkdir -p "$venv/uv"
  ln -sf "$uv" "$venv/uv/uv"
  mv "$venv/.syncing.lock" "$stamp"
}

install
exec 9<&-

#!/bin/sh
# Kill sweeps in many ways, 100 times by default; the last line is `0 lost, 0 repeated`.
# sh tests/acceptance/kill100.sh [ROUNDS] [--seed N]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=$here/../../.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$here/kill100.py" "$@"

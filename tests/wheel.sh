#!/bin/sh
# Build the wheel, import it from an empty folder, and insist that it is the wheel that was imported.
# Dependencies are those already installed: no second torch.
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --wheel --no-isolation --outdir "$work/dist" "$root" >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
}
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/site" "$work"/dist/*.whl
mkdir "$work/empty"
cd "$work/empty"
PYTHONPATH="$work/site" "$python" - "$work/site" <<'PY'
import sys
from pathlib import Path

import mutransfer
from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.workflows import compare_with_paper, named_studies, named_study

assert Path(mutransfer.__file__).is_relative_to(sys.argv[1]), mutransfer.__file__
assert named_study("demo").num_trials > 0 and len(named_studies()) >= 3 and corpus_hash(None)
assert (Path(mutransfer.__file__).parent / "py.typed").exists()
assert compare_with_paper().studies[0].report.verdict == "transfers"
for name in mutransfer.__all__:
    getattr(mutransfer, name)
print(f"wheel {mutransfer.__version__}: imported from an empty folder, {len(mutransfer.__all__)} names")
PY

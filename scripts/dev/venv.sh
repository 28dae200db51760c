#!/bin/sh
# .venv with exactly what requirements-dev.txt locks; does nothing when it is up to date.
set -eu
stamp=.venv/requirements.cksum
now=$(cksum requirements-dev.txt)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then exit 0; fi
echo "Preparing .venv ..."
python3 -m venv .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.txt
echo "$now" > "$stamp"

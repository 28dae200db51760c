#!/bin/sh
# .venv with exactly what requirements-dev.txt locks; does nothing when it is up to date.
set -eu
stamp=.venv/requirements.cksum
now=$(cat requirements-dev.txt streamlit-service/requirements-uv.txt | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then exit 0; fi
echo "Preparing .venv (about 20 s) ..."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r streamlit-service/requirements-uv.txt
.venv/bin/uv pip sync -q --python .venv/bin/python --require-hashes requirements-dev.txt
echo "$now" > "$stamp"

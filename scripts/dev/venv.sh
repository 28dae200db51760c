#!/bin/sh
# .venv with exactly what requirements-dev.txt locks, and the pages' front end built from its lock; does nothing when
# both are up to date.
set -eu
front=streamlit-service/front
stamp=.venv/requirements.cksum
now=$(cat requirements-dev.txt streamlit-service/requirements-uv.txt | cksum)

build_front() {
    PATH=$PWD/.venv/bin:$PATH
    if [ ! -d $front/node_modules ] || [ $front/package-lock.json -nt $front/node_modules ]; then
        (cd $front && npm ci --ignore-scripts --no-audit --no-fund --silent && touch node_modules)
    fi
    done=$front/dist/done
    newest=$(find $front -path $front/node_modules -prune -o -type f -newer $done -not -path "$front/dist/*" -print 2> /dev/null | head -n 1) || newest=all
    if [ -n "$newest" ] || [ ! -e $done ]; then
        (cd $front && npm run -s build -- --log-level=warning)
        touch $done
    fi
}

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then build_front; exit 0; fi
echo "Preparing .venv (about 30 s) ..."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r streamlit-service/requirements-uv.txt
.venv/bin/uv pip sync -q --python .venv/bin/python --require-hashes requirements-dev.txt
echo "$now" > "$stamp"
build_front

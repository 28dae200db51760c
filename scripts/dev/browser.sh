#!/bin/sh
# Chromium for the browser tests: the one that is there, or Debian's.
set -eu
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: no Chromium found. Install it, or set CHROMIUM to its path." >&2
    exit 1
fi
echo "Installing Chromium (about 40 s) ..."
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null

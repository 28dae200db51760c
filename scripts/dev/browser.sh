#!/bin/sh
# Chromium for the browser tests: the one that is there, or Debian's. With root, what makes a card for it as well
# (tests/system/harness/card.py); without, that one test is left out.
set -eu
card="softhsm2 gnutls-bin libnss3-tools"
found=
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name" >/dev/null; then found=1; fi
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    if [ -n "$found" ]; then exit 0; fi
    echo "error: no Chromium found. Install it, or set CHROMIUM to its path." >&2
    exit 1
fi
install() {
    # shellcheck disable=SC2086  # several packages
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 >/dev/null
}
if [ -z "$found" ]; then
    echo "Installing Chromium (about 40 s) ..."
    install "chromium $card"
    exit
fi
for tool in softhsm2-util p11tool modutil; do command -v "$tool" >/dev/null || found=; done
if [ -n "$found" ]; then exit 0; fi
echo "Installing a smart card of software for the browser tests ..."
install "$card" || echo "It could not be installed: the test that takes a card out is left out."

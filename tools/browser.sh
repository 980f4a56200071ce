#!/bin/sh
# Install the browser of the sandbox's tests: Chromium and its driver, from Debian's packages. `make test` runs this.
#
# Costs nothing where both are there. Where it cannot install them it says so and ends with 0: the tests in the browser
# are then skipped, or fail if CI is set.
set -eu

missing=
command -v chromium >/dev/null || missing="$missing chromium"
command -v chromedriver >/dev/null || missing="$missing chromium-driver"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "browser: for the tests in a browser, install$missing (this is no Debian)" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root='sudo -n'
else
    echo "browser: for the tests in a browser: sudo apt-get install$missing" >&2
    exit 0
fi

echo "browser: installing$missing (a minute or two, once)" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # words, not one word
if ! { $as_root apt-get update -qq && $as_root apt-get install -qq --no-install-recommends $missing fonts-dejavu-core; } >/dev/null; then
    echo "browser: that failed; the tests in a browser will not run" >&2
fi

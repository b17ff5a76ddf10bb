#!/usr/bin/env bash
# The page's tests drive the system's Chromium. Where there is none, Debian's package is installed if this may be done
# without asking for a password; else those tests are skipped, or with GLIMPSE_BROWSER=required nothing goes on.
set -euo pipefail

for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null; then exit 0; fi
done

as_root=(env DEBIAN_FRONTEND=noninteractive)
if [[ $EUID -ne 0 ]]; then as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive); fi
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
  echo "Installing the package chromium for the tests of the page."
  if "${as_root[@]}" apt-get -qq update &&
    "${as_root[@]}" apt-get -qq install --yes --no-install-recommends chromium >/dev/null; then
    exit 0
  fi
fi

echo "No Chromium is at hand and none could be installed: the tests of the page are skipped." >&2
[[ "${GLIMPSE_BROWSER:-}" != required ]]

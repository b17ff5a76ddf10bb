#!/usr/bin/env bash
# Ask a running service with curl: ./curl.sh [PICTURE] [ADDRESS]
# Without a picture, the service draws a scene first.
set -euo pipefail

picture="${1:-}"
address="${2:-${GLIMPSE_ADDRESS:-http://127.0.0.1:8000}}"
# --fail-with-body: an error status ends the script, and the sentence that explains it is still printed.
ask=(curl --silent --show-error --fail-with-body)
if [[ -n "${GLIMPSE_API_KEY:-}" ]]; then ask+=(--header "Authorization: Bearer $GLIMPSE_API_KEY"); fi

if [[ -z "$picture" ]]; then
  folder="$(mktemp -d)"
  trap 'rm -rf "$folder"' EXIT
  picture="$folder/scene.png"
  "${ask[@]}" --output "$picture" "$address/synthesize?digit=3&clutter=6&seed=7"
fi

# A form with the file in the field `image`. `maps=none` leaves out the attention map and the glimpse.
"${ask[@]}" --form "image=@$picture" "$address/predict?maps=none"
echo

# Many files in one request: a list in the same order, each an answer or the reason why there is none.
"${ask[@]}" --form "images=@$picture" --form "images=@$picture" "$address/predict/batch?maps=none"
echo

#!/bin/sh
# What the service's container runs. Words after it go to `python -m service`: `bulk …` labels files instead.
# GLIMPSE_MODEL_PATH goes first; then a model that was trained into the volume /models; then the image's own.
set -eu
if [ -z "${GLIMPSE_MODEL_PATH:-}" ] && [ -e /models/glimpse.json ]; then
  # A copy: a worker that starts anew must find what the others run, whatever has been trained meanwhile.
  mkdir -p /tmp/model
  cp /models/glimpse.onnx /models/glimpse.json /tmp/model/
  export GLIMPSE_MODEL_PATH=/tmp/model/glimpse.onnx
  echo "The model is the one that was trained into the volume /models." >&2
fi
exec python -m service "$@"

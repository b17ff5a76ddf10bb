#!/bin/sh
# What the service's container runs. Words after it go to `python -m service`: `bulk …` labels files instead.
# GLIMPSE_MODEL_PATH goes first; then a model that was trained into the volume /models; then the image's own.
set -eu
if [ -z "${GLIMPSE_MODEL_PATH:-}" ] && [ -e /models/glimpse.json ]; then
  # A copy: a worker that starts anew must find what the others run, whatever has been trained meanwhile.
  # Its path tells in the service's first line where the model comes from.
  mkdir -p /tmp/from-volume-models
  cp /models/glimpse.onnx /models/glimpse.json /tmp/from-volume-models/
  export GLIMPSE_MODEL_PATH=/tmp/from-volume-models/glimpse.onnx
fi
exec python -m service "$@"

#!/bin/sh
# What the trainer's container runs: trains the preset that PRESET names, exports to /models. Words after it go to
# `python -m trainer train`. A run that was stopped goes on where it was, one that is finished is exported again.
set -eu
preset=${PRESET:-cpu}
seed=${SEED:-0}
run=/runs/$preset-seed$seed

# A shell that is process 1 passes no signal on by itself, so Docker would kill it after its timeout.
child=
trap '[ -z "$child" ] || kill -TERM "$child"; exit 143' TERM INT
follow() {
  "$@" &
  child=$!
  wait "$child"
}

follow python -m trainer train --preset "$preset" --seed "$seed" --run "$run" "$@"
follow python -m trainer export "$run" --out /models/glimpse.onnx

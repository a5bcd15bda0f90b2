#!/bin/sh
# `make run`: the daemon on the microphone or, where there is none, on the bundled recordings.
set -eu
earwitness=.venv/bin/earwitness
if "$earwitness" devices >/dev/null 2>&1; then
    exec "$earwitness" run "$@"
fi
echo "No microphone was found, so here are the two bundled recordings at their own speed."
for recording in human synthetic; do
    echo
    echo "== $recording.flac"
    "$earwitness" run --source "edge/demo/$recording.flac" --pace "$@"
done

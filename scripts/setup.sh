#!/bin/sh
# Makes the virtual environment .venv of this checkout, with the extras named as arguments:
#
#     scripts/setup.sh            what a device needs
#     scripts/setup.sh dev        what the tests need
#
# Where Debian's python3-venv or libportaudio2 is missing, they are installed, which asks for sudo
# unless this runs as root. PYTHON chooses the interpreter.
set -eu

PYTHON=${PYTHON:-python3}
EXTRAS=${1:-}
VENV=.venv

fail() { echo "setup: $*" >&2; exit 1; }

missing=
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing="python3-venv"
PATH="$PATH:/sbin:/usr/sbin"
if command -v ldconfig >/dev/null && ! ldconfig -p | grep -q libportaudio.so.2; then
    missing="$missing libportaudio2"
fi
case $(uname -m) in
    x86_64 | aarch64 | arm64) ;;
    # Elsewhere the wheel of soundfile brings no libsndfile, nor that of numpy its OpenBLAS.
    *) ldconfig -p | grep -q libsndfile.so.1 || missing="$missing libsndfile1"
       ldconfig -p | grep -q libopenblas.so.0 || missing="$missing libopenblas0" ;;
esac
if [ -n "$missing" ]; then
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    command -v apt-get >/dev/null || fail "please install first: $missing"
    [ -z "$root" ] || command -v sudo >/dev/null || fail "as root, run: apt-get install $missing"
    echo "setup: installing $missing"
    $root apt-get update -qq
    # shellcheck disable=SC2086  # several words on purpose
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi

[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
echo "setup: installing earwitness${EXTRAS:+ with $EXTRAS} into $VENV"
"$VENV/bin/pip" install --quiet --disable-pip-version-check --editable ".${EXTRAS:+[$EXTRAS]}"

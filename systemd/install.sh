#!/bin/sh
# Installs Earwitness as a systemd service, or takes it away. Run as root, from a checkout:
#
#     systemd/install.sh install            also updates; what you have edited is left alone
#     systemd/install.sh install ROOT.JSON  and trusts the models of the repository that it is from
#     systemd/install.sh uninstall          keeps the configuration, models and waiting alerts
#     systemd/install.sh uninstall --purge  keeps nothing
#
# The program lives in a virtual environment under /opt/earwitness. A new one is built beside the
# old one and takes its place by a rename, so an installation that fails leaves the old one at work.
# PIP_NO_INDEX, PIP_FIND_LINKS and the like are passed on to pip; PYTHON chooses the interpreter.
set -eu

PREFIX=/opt/earwitness
CONFIG=/etc/earwitness/earwitness.yaml
UNITS=/etc/systemd/system
PULL=earwitness-pull.timer
SYSUSERS=/etc/sysusers.d/earwitness.conf
TMPFILES=/etc/tmpfiles.d/earwitness.conf
COMMAND=/usr/local/bin/earwitness
EXTRAS=${EARWITNESS_EXTRAS-mqtt,metrics,update}
PYTHON=${PYTHON:-python3}
HERE=$(cd "$(dirname "$0")" && pwd)
SOURCE=$(dirname "$HERE")

say() { echo "earwitness: $*"; }
fail() { say "$*" >&2; exit 1; }
booted() { [ -d /run/systemd/system ]; }

check() {
    [ "$(id -u)" = 0 ] || fail "this needs root; try: sudo $0 $*"
    command -v systemd-sysusers >/dev/null || fail "systemd is not installed here."
}

# Debian and its kin split off what Python and PortAudio need.
need_packages() {
    missing=
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing="python3-venv"
    ldconfig -p | grep -q libportaudio.so.2 || missing="$missing libportaudio2"
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || fail "please install first: $missing"
    say "installing $missing"
    # shellcheck disable=SC2086  # several words on purpose
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

build_venv() {
    new=$PREFIX/venv-$(date +%Y%m%d-%H%M%S)-$$
    trap 'rm -rf "$new"' EXIT
    mkdir -p "$PREFIX"
    say "building $new"
    "$PYTHON" -m venv "$new"
    # From a copy, because building leaves files behind, and here they would be root's.
    mkdir "$new/source"
    for part in edge training convert setup.cfg pyproject.toml README.md LICENSE; do
        cp -R "$SOURCE/$part" "$new/source/"
    done
    "$new/bin/pip" install --quiet --disable-pip-version-check \
        "$new/source${EXTRAS:+[$EXTRAS]}"
    rm -r "$new/source"
    "$new/bin/earwitness" config example >"$new/earwitness.yaml"
}

# The configuration is ours to replace only while nobody has changed it since we wrote it.
install_config() {
    example=$CONFIG.example
    if [ ! -e "$CONFIG" ] || { [ -e "$example" ] && cmp -s "$CONFIG" "$example"; }; then
        install -m 0640 -g earwitness "$new/earwitness.yaml" "$CONFIG"
    elif ! cmp -s "$CONFIG" "$new/earwitness.yaml"; then
        say "$CONFIG is yours and stays as it is; $example shows all settings of this version."
    fi
    install -m 0640 -g earwitness "$new/earwitness.yaml" "$example"
}

activate_venv() {
    ln -sfn "$new" "$PREFIX/venv.new"
    mv -T "$PREFIX/venv.new" "$PREFIX/venv"
    trap - EXIT
    ln -sfn "$PREFIX/venv/bin/earwitness" "$COMMAND"
}

remove_old_venvs() {
    for old in "$PREFIX"/venv-*; do
        [ "$old" = "$new" ] || rm -rf "$old"
    done
}

# Whose models this device may take; the file is the root.json of their repository.
trust_root() {
    [ -z "$1" ] || "$COMMAND" model trust "$1" || say "what was trusted before stays so."
}

install_units() {
    for unit in earwitness.service earwitness-pull.service $PULL; do
        install -D -m 0644 "$HERE/$unit" "$UNITS/$unit"
    done
}

# Models are asked for only where the configuration names a repository.
start_pulling() {
    if "$PREFIX/venv/bin/python" - "$CONFIG" <<'END'
import sys
from pathlib import Path
from edge.config import load
sys.exit(load(Path(sys.argv[1])).updates.url is None)
END
    then
        systemctl enable --quiet --now $PULL
        "$COMMAND" model trust >/dev/null 2>&1 ||
            say "no model is taken before: sudo earwitness model trust root.json"
    else
        say "no model repository is configured; after setting updates.url in $CONFIG:" \
            "systemctl enable --now $PULL"
    fi
}

start() {
    "$COMMAND" config check "$CONFIG" || fail "the service is not started; correct $CONFIG first."
    if ! booted; then
        say "systemd does not run here; the service starts at the next boot."
        systemctl --root=/ enable earwitness.service
        return
    fi
    systemctl daemon-reload
    systemctl enable --quiet earwitness.service
    systemctl restart earwitness.service
    start_pulling
}

do_install() {
    need_packages
    install -D -m 0644 "$HERE/sysusers.conf" "$SYSUSERS"
    install -D -m 0644 "$HERE/tmpfiles.conf" "$TMPFILES"
    systemd-sysusers "$SYSUSERS"
    systemd-tmpfiles --create "$TMPFILES"
    build_venv
    install_config
    activate_venv
    trust_root "$1"
    install_units
    start
    remove_old_venvs
    say "installed; see: systemctl status earwitness, journalctl -u earwitness"
}

do_uninstall() {
    if booted; then
        systemctl disable --quiet --now earwitness.service $PULL 2>/dev/null || true
    else
        systemctl --root=/ disable earwitness.service $PULL 2>/dev/null || true
    fi
    rm -f "$UNITS/earwitness.service" "$UNITS/earwitness-pull.service" "$UNITS/$PULL"
    rm -f "$SYSUSERS" "$TMPFILES" "$COMMAND"
    rm -rf "$PREFIX"
    if booted; then
        systemctl daemon-reload
        systemctl reset-failed earwitness.service 2>/dev/null || true
    fi
    if [ "${1-}" = --purge ]; then
        rm -rf /etc/earwitness /var/lib/earwitness
        ! id earwitness >/dev/null 2>&1 || userdel earwitness
        say "removed, with its configuration and data"
    else
        say "removed; kept: /etc/earwitness and /var/lib/earwitness"
    fi
}

case "${1-}" in
install) check "$@"; do_install "${2-}" ;;
uninstall) check "$@"; do_uninstall "${2-}" ;;
*) fail "usage: $0 install [ROOT.JSON] | uninstall [--purge]" ;;
esac

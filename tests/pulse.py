"""A private PulseAudio server whose null sinks are microphones that can be pulled out.

Debian packages: pulseaudio pulseaudio-utils libasound2-plugins libportaudio2 alsa-utils.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from tests.patience import wait_until

PROGRAMS = ("pulseaudio", "pactl", "parec", "paplay")
ASOUNDRC = "pcm.!default {\n type pulse\n}\nctl.!default {\n type pulse\n}\n"


class PulseServer:
    """A server of one's own in `folder`, with `environment` for those who shall use it.

    `unplug` and `plug` take a microphone away and bring it back; `kill` and `start` do so with
    the whole server.
    """

    def __init__(self, folder: Path) -> None:
        self._home = folder / "home"
        self._runtime = folder / "run"
        self._process: subprocess.Popen[bytes] | None = None
        self._modules: dict[str, str] = {}
        self._listeners: dict[str, subprocess.Popen[bytes]] = {}
        for path in (self._home, self._runtime):
            path.mkdir(parents=True, mode=0o700)
        (self._home / ".asoundrc").write_text(ASOUNDRC)
        self.socket = self._runtime / "native"
        self.variables = {
            "HOME": str(self._home),
            "XDG_RUNTIME_DIR": str(self._runtime),
            "PULSE_SERVER": f"unix:{self.socket}",
        }

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of a process that shall use this server."""
        return {**os.environ, **self.variables}

    def __enter__(self) -> PulseServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the server with no microphone; a silent input takes the place of a lost one."""
        self.socket.unlink(missing_ok=True)
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--system=false"]
        command += ["--use-pid-file=no", "--disable-shm=yes", "--log-target=stderr"]
        command += [f"--load=module-native-protocol-unix auth-anonymous=1 socket={self.socket}"]
        command += ["--load=module-always-source"]
        log = open(self._home / "log", "ab")  # noqa: SIM115
        with log:
            self._process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, "a sound server")

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log()
        command = ["pactl", "info"]
        done = subprocess.run(command, env=self.environment, capture_output=True, check=False)
        return done.returncode == 0

    def kill(self) -> None:
        """SIGKILL for the server: every client loses its connection."""
        for listener in self._listeners.values():
            _end(listener)
        self._listeners.clear()
        self._modules.clear()
        if self._process is not None:
            _end(self._process)

    def freeze(self) -> None:
        """SIGSTOP for the server: it keeps its connections and does nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the server has not been started")
        self._process.send_signal(number)

    def log(self) -> str:
        """What the server has complained about."""
        return (self._home / "log").read_text(errors="replace")

    def pactl(self, *arguments: str) -> str:
        """Run pactl; return what it prints."""
        done = subprocess.run(
            ["pactl", *arguments], env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def plug(self, name: str = "mic", rate_hz: int = 16000, default: bool = True) -> str:
        """Add a microphone; return the name of its source."""
        source = f"{name}.monitor"
        self._modules[name] = self.pactl(
            "load-module", "module-null-sink", f"sink_name={name}", f"rate={rate_hz}", "channels=1"
        )
        if default:
            self.pactl("set-default-source", source)
        # A null sink wakes every two seconds; a real microphone, and one that is listened to with
        # a low latency, gives audio all the time.
        self._listeners[name] = subprocess.Popen(
            ["parec", "--latency-msec=20", f"--device={source}"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return source

    def unplug(self, name: str = "mic") -> None:
        """Take a microphone away."""
        self.pactl("unload-module", self._modules.pop(name))
        _end(self._listeners.pop(name))

    def play(self, path: Path | str, name: str = "mic") -> subprocess.Popen[bytes]:
        """Play a recording into a microphone, in real time."""
        return subprocess.Popen(
            ["paplay", f"--device={name}", "--latency-msec=500", str(path)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
        )

    @contextlib.contextmanager
    def in_environment(self) -> Iterator[None]:
        """Have this process and its children use the server."""
        before = {name: os.environ.get(name) for name in self.variables}
        os.environ.update(self.variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def missing_programs() -> list[str]:
    """What must be installed before the server can be started."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[PulseServer]:
    """A server with one microphone, "mic", which is the default input of this process."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)} (packages pulseaudio, pulseaudio-utils)")
    with PulseServer(tmp_path / "pulse") as server, server.in_environment():
        server.plug("mic")
        yield server

"""Real services on loopback: nginx, sshd, mosquitto. Each test that needs one skips without it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import HANG_S, wait_until
from tests.processes import free_port

LAST = "/the-last-one"  # a request that marks the end of the log


def binary(name: str) -> str:
    """Path of a program, or skip the test."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def wait_for_port(port: int, process: subprocess.Popen[bytes], address: str = "127.0.0.1") -> None:
    def listens() -> bool:
        assert process.poll() is None, "the service ended at once"
        with socket.socket() as probe:
            return probe.connect_ex((address, port)) == 0

    wait_until(listens, "the service's port")


@contextmanager
def running(command: list[str], port: int, log: Path, address: str = "127.0.0.1") -> Iterator[None]:
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for_port(port, process, address)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(HANG_S)


class Nginx:
    """nginx serving one folder; `exchanges` tells what each request cost."""

    def __init__(self, folder: Path, root: Path, listen: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.folder = folder
        self.listen = listen
        self.url = f"http://{listen}:{self.port}"
        self._log = folder / "access.log"
        (folder / "nginx.conf").write_text(f"""
            daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
            user {getpass.getuser()};
            worker_processes 1; worker_rlimit_nofile 4096; events {{ worker_connections 2048; }}
            http {{
              types {{ application/json json; }}
              log_format cost '$request_length $bytes_sent $status $uri';
              access_log {self._log} cost;
              client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
              fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4;
              scgi_temp_path {folder}/t5;
              server_tokens off;
              server {{ listen {listen}:{self.port} backlog=2048; root {root}; etag on; }}
            }}""")

    @contextmanager
    def serving(self) -> Iterator[Nginx]:
        command = [binary("nginx"), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        with running(command, self.port, self.folder / "nginx.out", self.listen):
            self.forget()
            yield self

    def forget(self) -> None:
        self._seen = self._log.stat().st_size if self._log.exists() else 0

    def exchanges(self) -> list[tuple[int, int, str]]:
        """(bytes, status, path) of each request since `forget`; bytes in both directions."""
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{self.url}{LAST}", timeout=HANG_S)
        # A request is logged after its answer; nginx has one worker, so what came before is there.
        wait_until(lambda: LAST in self._new_lines(), "the log")
        rows = [line.split() for line in self._new_lines().splitlines() if LAST not in line]
        return [(int(up) + int(down), int(status), uri) for up, down, status, uri in rows]

    def _new_lines(self) -> str:
        with open(self._log) as log:
            log.seek(self._seen)
            return log.read()


class Sshd:
    """sshd on loopback with a key of its own; `ssh` is the command that reaches it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        keygen = binary("ssh-keygen")
        for name in ("host", "user"):
            subprocess.run(
                [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
            )
        shutil.copy(folder / "user.pub", folder / "authorized")
        (folder / "sshd_config").write_text(f"""
            ListenAddress 127.0.0.1
            Port {self.port}
            HostKey {folder}/host
            AuthorizedKeysFile {folder}/authorized
            StrictModes no
            UsePAM no
            PermitRootLogin yes
            PasswordAuthentication no
            PidFile {folder}/pid
        """)
        self.ssh = (
            "ssh",
            *("-p", str(self.port), "-i", str(folder / "user"), "-F", "none"),
            *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known"),
            *("-o", "LogLevel=ERROR"),
        )
        self.host = f"{getpass.getuser()}@127.0.0.1"

    @contextmanager
    def serving(self) -> Iterator[Sshd]:
        sshd = binary("sshd")
        Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
        command = [sshd, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with running(command, self.port, self.folder / "sshd.out"):
            yield self


@contextmanager
def mosquitto(folder: Path, users: dict[str, str] | None = None) -> Iterator[int]:
    """A broker on a free port."""
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", f"allow_anonymous {'false' if users else 'true'}"]
    if users:
        lines.append(f"password_file {folder}/users")
        for i, (name, password) in enumerate(users.items()):
            command = [binary("mosquitto_passwd"), "-b", *(["-c"] if i == 0 else [])]
            subprocess.run([*command, str(folder / "users"), name, password], check=True)
        os.chmod(folder / "users", 0o644)
        os.chmod(folder, 0o755)
    lines.append(f"user {getpass.getuser()}")
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    command = [binary("mosquitto"), "-c", str(folder / "mosquitto.conf")]
    with running(command, port, folder / "mosquitto.out"):
        yield port

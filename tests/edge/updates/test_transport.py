"""Pulling over HTTP: from a real nginx, and from servers that mean harm."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edge.errors import UpdateError
from edge.updates.proof import prove
from tests.edge.updates.services import Nginx
from tests.processes import free_port

POLL_LIMIT_BYTES = 1000


@pytest.fixture
def nginx(world, tmp_path):
    folder = tmp_path / "nginx"
    folder.mkdir()
    with Nginx(folder, world.repo_folder).serving() as server:
        yield server


def test_a_model_is_pulled_from_nginx_and_proven(world, nginx):
    world.publish("1.0.0")
    outcome = world.install(nginx.url, by_hand=False, prove_bundle=prove)
    assert outcome.changed and outcome.release.startswith("1.0.0-")
    assert all(status in (200, 404) for _, status, _ in nginx.exchanges())


def test_a_poll_with_nothing_new_costs_less_than_a_kilobyte(world, nginx):
    world.publish("1.0.0")
    world.install(nginx.url, by_hand=False)
    nginx.forget()
    assert not world.install(nginx.url, by_hand=False).changed
    exchanges = nginx.exchanges()
    assert [status for _, status, _ in exchanges] == [404, 304]
    cost = sum(size for size, _, _ in exchanges)
    print(f"a poll with nothing new: {cost} bytes of HTTP in both directions")
    assert cost < POLL_LIMIT_BYTES


def test_after_a_poll_with_nothing_new_the_next_release_is_still_seen(world, nginx):
    world.publish("1.0.0")
    for _ in range(3):
        world.install(nginx.url, by_hand=False)
    world.publish("1.1.0", "better")
    assert world.install(nginx.url, by_hand=False).release.startswith("1.1.0-")


def test_an_outage_is_an_error_until_the_next_poll(world, nginx):
    world.publish("1.0.0")
    world.install(nginx.url)
    with pytest.raises(UpdateError):
        world.install(f"http://127.0.0.1:{free_port()}", by_hand=False)
    assert "cannot be read" in world.store.state().last_error.reason
    world.install(nginx.url, by_hand=False)
    assert world.store.state().last_error is None


def test_what_a_model_did_stays_told_until_another_is_taken(world, nginx):
    world.publish("1.0.0")
    world.install(nginx.url)
    world.store.roll_back("too many alerts", 0.0)
    world.install(nginx.url, by_hand=False)
    assert world.store.state().last_error.reason == "too many alerts"
    world.publish("1.1.0", "better")
    world.install(nginx.url, by_hand=False)
    assert world.store.state().last_error is None


def test_polls_write_nothing_when_there_is_nothing_new(world, nginx):
    world.publish("1.0.0")
    for _ in range(2):
        world.install(nginx.url, by_hand=False)
    files = [p for p in world.store.root.rglob("*") if p.is_file() and "lock" not in p.name]
    # python-tuf renews the small link root.json and its first root in each run.
    files = [p for p in files if p.name != "root.json" and not p.name.endswith(".root.json")]
    before = {p: p.stat().st_mtime_ns for p in files}
    world.install(nginx.url, by_hand=False)
    assert {p: p.stat().st_mtime_ns for p in files} == before


def test_a_memory_that_lies_only_costs_a_full_answer(world, nginx):
    world.publish("1.0.0")
    world.install(nginx.url, by_hand=False)
    (world.store.root / "poll.json").write_text('{"etag": "x", "url": 7}')
    assert not world.install(nginx.url, by_hand=False).changed
    (world.store.root / "tuf/timestamp.json").write_bytes(b"{}")
    assert not world.install(nginx.url, by_hand=False).changed


def test_a_staged_rollout_reaches_a_device_when_its_share_comes(world, nginx):
    world.publish("1.0.0")
    world.install(nginx.url, by_hand=False)
    world.publish("1.1.0", rollout_percent=0)
    assert not world.install(nginx.url, by_hand=False).changed
    for percent in range(10, 101, 10):
        world.repo().set_rollout("1.1.0", percent)
        if world.install(nginx.url, by_hand=False).changed:
            break
    assert world.store.current().startswith("1.1.0-")


def test_a_server_that_is_not_there_is_named(world):
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UpdateError, match=f"{url} cannot be read.*refused"):
        world.install(url)
    with pytest.raises(UpdateError, match="cannot be read"):
        world.install("http://no-such-host.invalid/models")


@contextmanager
def hostile(answer):
    """A server that answers every request by `answer(handler)`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            try:
                answer(self)
            except OSError:
                self.close_connection = True

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def endless(handler, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Connection", "close")
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(2**16))


def serve(folder, handler) -> None:
    path = folder / handler.path.lstrip("/")
    if not path.is_file():
        handler.send_error(404)
        return
    content = path.read_bytes()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.mark.parametrize(
    "part", ["2.root.json", "timestamp.json", "snapshot.json", "targets.json", ".tflite"]
)
def test_endless_data_in_the_place_of_any_file_is_refused(world, part):
    world.publish("1.0.0")

    def answer(handler):
        if part in handler.path:
            endless(handler)
        serve(world.repo_folder, handler)

    with hostile(answer) as url, pytest.raises(UpdateError, match="more than what was signed"):
        world.install(url)
    assert world.store.current() is None


def test_an_endless_error_page_does_not_stop_an_update(world):
    world.publish("1.0.0")

    def answer(handler):
        if "root.json" in handler.path:
            endless(handler, 404)
        serve(world.repo_folder, handler)

    with hostile(answer) as url:
        assert world.install(url).changed


def test_a_server_that_drips_is_given_up(world):
    world.publish("1.0.0")
    world.settings = replace(world.settings, download_timeout_s=0.5)

    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    with hostile(answer) as url, pytest.raises(UpdateError, match="too slowly"):
        world.install(url)


def test_a_compressed_answer_is_not_unpacked(world):
    world.publish("1.0.0")

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(b"\x1f\x8b\x08\x00")

    with hostile(answer) as url, pytest.raises(UpdateError):
        world.install(url)


@pytest.mark.parametrize("status", [301, 403, 404, 429, 500, 503])
def test_any_error_status_is_a_sentence(world, status):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        if status == 301:
            handler.send_header("Location", handler.path)
        handler.end_headers()

    with hostile(answer) as url, pytest.raises(UpdateError, match="cannot be read"):
        world.install(url)


def test_a_forged_304_changes_nothing(world):
    world.publish("1.0.0")

    def answer(handler):
        if "timestamp" in handler.path:
            handler.send_response(304)
            handler.end_headers()
        else:
            serve(world.repo_folder, handler)

    with hostile(answer) as url, pytest.raises(UpdateError, match="cannot be read"):
        world.install(url)

"""Alert commands: real programs that succeed, fail, hang and leave children behind."""

from __future__ import annotations

import json
import sys
import time

import pytest

from edge.alerts.command import CommandSettings, CommandTransport
from edge.alerts.delivery import DeliveryError, RetrySettings, SpooledSink
from edge.alerts.sink import FanOut
from edge.errors import ConfigError


def transport(*argv, timeout_s=60.0):
    return CommandTransport(CommandSettings(argv=argv, timeout_s=timeout_s))


def test_the_program_reads_the_record_as_one_line_of_json(tmp_path, make_alert):
    target = tmp_path / "out"
    transport("tee", str(target)).send(make_alert(1))
    assert json.loads(target.read_text()) == make_alert(1)
    assert target.read_text().endswith("}\n")


def test_arguments_do_not_pass_through_a_shell(tmp_path, make_alert):
    target = tmp_path / "$(touch hacked); x"
    transport("tee", str(target)).send(make_alert(1))
    assert target.exists() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("argv", "timeout_s", "reason"),
    [
        (("false",), 60.0, "exit status 1"),
        (("sh", "-c", "kill -SEGV $$"), 60.0, "signal 11"),
        (("sleep", "60"), 0.5, "longer than"),
    ],
)
def test_a_program_that_fails_says_how(argv, timeout_s, reason, make_alert):
    with pytest.raises(DeliveryError, match=reason):
        transport(*argv, timeout_s=timeout_s).send(make_alert(1))


def test_a_program_that_does_not_read_its_input_may_still_succeed(make_alert):
    transport("true").send({**make_alert(1), "filling": "x" * 500_000})


def test_children_of_a_program_that_hangs_are_killed_with_it(tmp_path, make_alert, eventually):
    mark = tmp_path / "alive"
    script = f"(while :; do date > {mark}; sleep 0.05; done) & wait"
    with pytest.raises(DeliveryError):
        transport("sh", "-c", script, timeout_s=1.0).send(make_alert(1))
    time.sleep(0.2)
    mark.unlink(missing_ok=True)  # a second may be too short for a slow machine to start it
    time.sleep(0.5)
    assert not mark.exists()


@pytest.mark.parametrize("argv", [(), ("/nonexistent/program",), ("",)])
def test_a_program_that_is_not_there_is_refused_at_once(argv):
    with pytest.raises(ConfigError, match=r"alert command .*\.$"):
        transport(*argv)


def test_an_alert_is_given_up_after_the_configured_attempts(
    open_spool, events, make_alert, eventually, tmp_path
):
    target = tmp_path / "out"
    script = f"grep -q id-2 && echo taken > {target}"
    spool = open_spool("command")
    sink = SpooledSink(
        "command",
        transport("sh", "-c", script),
        spool,
        RetrySettings(first_s=0.02, longest_s=0.05, max_attempts=3),
        (),
        events,
    )
    out = FanOut([sink], spool)
    out.emit(make_alert(1))
    out.emit(make_alert(2))
    eventually(target.exists)
    eventually(lambda: spool.depth("command") == 0)
    assert sink.given_up == 1
    assert events.kinds == ["delivery-failed", "alert-given-up", "delivery-recovered"]
    sink.close(2.0)


def test_the_interpreter_itself_can_be_the_program(tmp_path, make_alert):
    target = tmp_path / "out"
    script = "import json,sys; open(sys.argv[1],'w').write(json.load(sys.stdin)['id'])"
    transport(sys.executable, "-c", script, str(target)).send(make_alert(7))
    assert target.read_text() == "id-7"

"""What Home Assistant makes of what it is told: the description, and the templates in it."""

from __future__ import annotations

import json

import pytest

from edge.alerts.homeassistant import Device, Topics, discovery_message, slug

jinja2 = pytest.importorskip("jinja2")

DEVICE = Device("pi1", "Desk Pi", "Raspberry Pi 4", "1.0")
TOPICS = Topics.build("earwitness", "pi1", ("Desk mic", "hall"))


def part(kind, source="desk_mic"):
    return discovery_message(DEVICE, TOPICS)["components"][f"{source}_{kind}"]


def shown(kind, record):
    """The state that an entity gets from a record."""
    template = jinja2.Environment().from_string(part(kind)["value_template"])
    return template.render(value_json=record)


def test_every_source_has_its_entities_and_all_share_one_device():
    message = discovery_message(DEVICE, TOPICS)
    assert len(message["components"]) == 12
    assert message["device"]["identifiers"] == ["earwitness_pi1"]
    assert message["origin"]["name"] == "earwitness"
    assert json.loads(json.dumps(message)) == message
    assert all(
        {"platform", "unique_id", "name", "state_topic"} <= set(p)
        for p in message["components"].values()
    )


def test_the_probability_is_a_percentage_or_unknown():
    assert shown("spoof_probability", {"smoothed_probability": 0.1234}) == "12.3"
    assert shown("spoof_probability", {"smoothed_probability": None}) == "None"


def test_speech_verdict_and_input_are_shown():
    assert shown("speech", {"speech": True}) == "ON"
    assert shown("speech", {"speech": False}) == "OFF"
    assert shown("verdict", {"verdict": "spoof"}) == "spoof"
    assert shown("health", {"health": "clipped"}) == "clipped"


def test_an_alert_becomes_an_event_of_its_kind():
    record = {
        "state": "raised",
        "id": "a1",
        "window": 7,
        "spoof_probability": 0.9,
        "message": "<!>",
    }
    event = json.loads(shown("alert", record))
    assert event["event_type"] in part("alert")["event_types"]
    assert (event["id"], event["message"]) == ("a1", "<!>")


def test_sensors_of_a_lost_microphone_go_stale_and_the_alert_does_not():
    assert part("verdict")["expire_after"] == 60
    assert "expire_after" not in part("synthetic_voice")


@pytest.mark.parametrize(
    ("name", "level"),
    [("Desk mic", "desk_mic"), ("a/b#c+d", "a_b_c_d"), ("日本", "source"), ("", "source")],
)
def test_names_become_topic_levels(name, level):
    assert slug(name) == level

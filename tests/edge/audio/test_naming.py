"""Names that survive reboots, and twins that are told apart."""

from __future__ import annotations

import pytest

from edge.audio.naming import (
    AmbiguousDevice,
    Input,
    NoSuchDevice,
    config_name,
    describe,
    match,
    pulse_source,
    usb_port,
)

USB = Input("USB PnP Sound Device: Audio (hw:1,0)", "1-1.2")
TWIN = Input("USB PnP Sound Device: Audio (hw:2,0)", "1-1.4")
BUILT_IN = Input("HDA Intel PCH: ALC256 Analog (hw:0,0)")
DEFAULT = Input("default")


def test_a_device_is_found_after_its_card_got_another_number():
    name = config_name(0, [USB, BUILT_IN, DEFAULT])
    assert name == "USB PnP Sound Device: Audio"
    renumbered = Input("USB PnP Sound Device: Audio (hw:3,0)", "1-1.2")
    assert match(name, [BUILT_IN, DEFAULT, renumbered]) == 2


def test_twins_are_told_apart_by_their_usb_port():
    inputs = [BUILT_IN, USB, TWIN]
    names = [config_name(index, inputs) for index in range(3)]
    assert names[1:] == [
        "USB PnP Sound Device: Audio @ usb 1-1.2",
        "USB PnP Sound Device: Audio @ usb 1-1.4",
    ]
    assert [match(name, inputs) for name in names] == [0, 1, 2]
    swapped = [Input("USB PnP Sound Device: Audio (hw:1,0)", "1-1.4"), BUILT_IN]
    assert match(names[2], swapped) == 0


def test_the_one_of_two_twins_that_is_left_is_not_taken_for_the_other():
    with pytest.raises(NoSuchDevice):
        match("USB PnP Sound Device: Audio @ usb 1-1.2", [BUILT_IN, TWIN])


def test_a_name_that_twins_share_is_refused():
    with pytest.raises(AmbiguousDevice, match=r"@ usb 1-1\.2.*@ usb 1-1\.4"):
        match("USB PnP Sound Device: Audio", [USB, TWIN])


def test_part_of_a_name_is_enough_if_only_one_has_it():
    assert match("usb pnp", [BUILT_IN, USB]) == 1


def test_an_exact_name_goes_before_a_longer_one():
    assert match("default", [Input("sysdefault"), DEFAULT]) == 1


def test_an_unknown_name_is_answered_with_what_there_is():
    with pytest.raises(NoSuchDevice, match="'nope'; there are: 'USB PnP Sound Device: Audio'"):
        match("nope", [USB])
    with pytest.raises(NoSuchDevice, match="nor any other"):
        match("nope", [])


def test_the_usb_port_comes_from_the_path_of_the_card(tmp_path):
    card = tmp_path / "devices/pci0000:00/usb1/1-1/1-1.3/1-1.3:1.0/sound/card2"
    card.mkdir(parents=True)
    (tmp_path / "card2").symlink_to(card)
    assert usb_port(2, str(tmp_path)) == "1-1.3"
    assert usb_port(0, str(tmp_path)) is None
    assert describe("Mic: USB (hw:2,0)", str(tmp_path)).port_name == "Mic: USB @ usb 1-1.3"
    assert describe("pulse", str(tmp_path)).port_name is None


def test_sources_of_the_sound_server_have_a_prefix():
    assert pulse_source("pulse:alsa_input.usb") == "alsa_input.usb"
    assert pulse_source("pulse") is None
    assert pulse_source(None) is None

"""Boards as their own files describe them: trees copied from a Pi, a Jetson and a PC."""

from __future__ import annotations

import pytest

from edge.board import (
    parse_core_count,
    parse_nvpmodel,
    parse_throttled,
    read_board,
    read_throttling,
    run_tool,
    throttled_now,
)


def write_tree(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


PI = {
    "sys/firmware/devicetree/base/model": b"Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61342\n",
    "sys/devices/system/cpu/online": "0-3\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
    "proc/loadavg": "0.42 0.30 0.25 1/180 2345\n",
}


def test_a_raspberry_pi_tells_everything(tmp_path):
    board = read_board(write_tree(tmp_path, PI))
    assert board.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert board.temperature_c == pytest.approx(61.342)
    assert (board.cores, board.governor) == (4, "ondemand")
    assert (board.frequency_mhz, board.max_frequency_mhz) == (600.0, 1800.0)
    assert board.load_1min == 0.42
    assert board.power_mode is None
    assert throttled_now(board.throttling) == ["under_voltage", "throttled"]
    assert board.throttling["under_voltage_occurred"] is True
    assert board.throttling["frequency_capped"] is False


def test_a_jetson_tells_its_power_mode_and_over_current(tmp_path):
    root = write_tree(
        tmp_path,
        {
            "sys/firmware/devicetree/base/model": b"NVIDIA Jetson Orin Nano Developer Kit\0",
            "sys/class/thermal/thermal_zone0/type": "gpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "48000\n",
            "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone1/temp": "51500\n",
            "sys/class/hwmon/hwmon3/name": "soctherm_oc\n",
            "sys/class/hwmon/hwmon3/oc1_event_cnt": "0\n",
            "sys/class/hwmon/hwmon3/oc2_event_cnt": "7\n",
            "var/lib/nvpmodel/status": "pmode:0001",
        },
    )
    board = read_board(root, run=lambda argv: None)
    assert (board.temperature_c, board.power_mode) == (51.5, "0001")
    assert board.throttling == {"over_current_occurred": True}
    named = read_board(root, run=lambda argv: "NV Power Mode: 15W\n1\n" if "-q" in argv else None)
    assert named.power_mode == "15W"


def test_a_pc_is_named_by_its_firmware_and_tells_of_no_throttling(tmp_path):
    board = read_board(
        write_tree(
            tmp_path,
            {
                "sys/class/dmi/id/sys_vendor": "LENOVO\n",
                "sys/class/dmi/id/product_name": "ThinkPad\n",
                "proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU\n",
            },
        )
    )
    assert board.model == "LENOVO ThinkPad"
    assert board.throttling is None


def test_a_board_that_tells_nothing_leaves_everything_unknown(tmp_path):
    board = read_board(tmp_path)
    unknown = (board.model, board.cores, board.governor, board.frequency_mhz)
    assert unknown == (None, None, None, None)
    assert (board.temperature_c, board.throttling, board.power_mode) == (None, None, None)
    assert board.load_1min is None


def test_the_machine_that_runs_this_can_be_read():
    board = read_board(run=run_tool)
    assert board.model and board.kernel and board.architecture
    assert board.load_1min is not None


def test_the_kernels_file_comes_before_the_tool_and_the_tool_before_the_sensor(tmp_path):
    write_tree(
        tmp_path,
        {"sys/class/hwmon/hwmon0/name": "rpi_volt", "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "1"},
    )
    assert read_throttling(tmp_path) == {"under_voltage": True}
    told = read_throttling(tmp_path, run=lambda argv: "throttled=0x0\n")
    assert told is not None and not any(told.values()) and len(told) == 8


@pytest.mark.parametrize("text", [None, "", "garbage", "throttled=", "0x", "-1", "error=1"])
def test_nonsense_about_throttling_is_unknown(text):
    assert parse_throttled(text) is None


@pytest.mark.parametrize(
    ("text", "count"), [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5), ("", None), ("x", None)]
)
def test_processor_lists(text, count):
    assert parse_core_count(text) == count


def test_nvpmodel_that_fails_is_unknown():
    assert parse_nvpmodel("NVPM ERROR: failed") is None
    assert parse_nvpmodel(None) is None


def test_a_tool_that_is_not_there_or_fails_or_hangs_tells_nothing():
    assert run_tool(("earwitness-no-such-tool",)) is None
    assert run_tool(("false",)) is None
    assert run_tool(("echo", "hello")) == "hello\n"

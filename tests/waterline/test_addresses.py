"""A stack takes the usual ports when they are free, says so when they are not, and its children see the same settings."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.schemas.settings import Settings
from waterline.stack import addresses, ports
from waterline.stack.parts import NAMES, PARTS, choose, port_of


def test_free_ports_differ_and_lie_outside_the_kernels_range() -> None:
    settings, notes = addresses.settle(Settings(), PARTS, free=True)
    found = [port_of(settings, name) for part in PARTS for name in part.settings]
    assert len(set(found)) == len(found)
    assert all(port in ports.RANGE for port in found)
    assert notes == []


def test_a_taken_port_is_named_and_replaced() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        settings, notes = addresses.settle(Settings(sink_metrics_port=taken), choose(["sink"]))
    assert settings.sink_metrics_port != taken
    assert notes == [f"port {taken} (sink_metrics_port) is taken; sink uses {settings.sink_metrics_port}"]


def test_a_port_that_is_free_is_kept_and_zero_asks_for_any() -> None:
    wanted = ports.pick()
    settings, notes = addresses.settle(Settings(kafka=f"127.0.0.1:{wanted}", sink_metrics_port=0), choose(["kafka", "sink"]))
    assert settings.kafka == f"127.0.0.1:{wanted}"
    assert settings.sink_metrics_port > 0
    assert notes == []


@pytest.mark.parametrize("address", ["broker.example:9092", "127.0.0.1:1,127.0.0.1:2"])
def test_an_address_elsewhere_is_refused_with_advice(address: str) -> None:
    with pytest.raises(addresses.AddressError, match="--external kafka"):
        addresses.settle(Settings(kafka=address), choose(["kafka"]))


@given(st.integers(1, 1024), st.floats(0.001, 1000), st.sampled_from(["fsync", "normal"]), st.text("abc:/-", max_size=9))
def test_children_see_the_same_settings(partitions: int, linger: float, durability: str, prices: str) -> None:
    settings = Settings.model_validate(
        {"partitions": partitions, "sink_linger_s": linger, "sink_durability": durability, "prices_file": prices}
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in addresses.environment(settings).items():
            patch.setenv(name, value)
        whole = str(Path(prices).absolute()) if prices else ""
        assert Settings() == settings.model_copy(update={"prices_file": whole})


def test_a_child_gets_no_setting_from_anywhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERLINE_PARTITIONS", "3")
    monkeypatch.setenv("WATERLINE_OTHER", "kept")
    environment = addresses.inherited(addresses.environment(Settings(partitions=12, data_dir=Path("/x"))))
    assert {name: value for name, value in environment.items() if name.startswith("WATERLINE_")} == {
        "WATERLINE_OTHER": "kept",
        "WATERLINE_DATA_DIR": "/x",
    }


def test_parts_are_chosen_in_starting_order() -> None:
    assert [part.name for part in choose(["collector", "kafka"])] == ["kafka", "collector"]
    assert [part.stage for part in PARTS] == sorted(part.stage for part in PARTS)
    assert len(NAMES) == len(PARTS)
    with pytest.raises(ValueError, match="no such part: zookeeper"):
        choose(["zookeeper"])

"""The configuration file: what it accepts, and what the defaults are."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from config.file import load_config, parse_config
from config.problems import ConfigError
from turn.flows import Address


def test_one_entry_needs_no_dash() -> None:
    config = parse_config("turn: {listen: 'udp://[::1]:3478', deny_peers: 10.0.0.0/8}", Path("c"))
    assert config.turn.listen == (Address.of("::1", 3478),)
    assert [str(network) for network in config.turn.deny_peers] == ["10.0.0.0/8"]


def test_off_is_a_word_and_not_false() -> None:
    assert parse_config("turn: {encrypted_only: off}", Path("c")).turn.encrypted_only == "off"


def test_relative_paths_begin_at_the_file() -> None:
    config = parse_config(
        "site: {state_dir: state}\nturn: {secret_file: s}\ngeo: {database: /g}", Path("/etc/calln/c.yaml")
    )
    assert config.site.state_dir == Path("/etc/calln/state")
    assert config.turn.secret_file == Path("/etc/calln/s")
    assert config.geo.database == Path("/g")


def test_without_a_file_everything_stays_on_this_machine() -> None:
    config = load_config(None)
    assert all(address.host in ("127.0.0.1", "::1") for address in config.turn.listen)
    assert all(listen.host == "127.0.0.1" for listen in config.server.listen)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    try:
        told: object = parse_config(text, Path("c"))
    except ConfigError as error:
        told = error.problems
    assert told

"""Encodings of bodies and answers, and the checksum of ClickHouse's own blocks."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.connectors.stores.clickhouse.front import codecs
from waterline.connectors.stores.clickhouse.front.cityhash import cityhash128
from waterline.connectors.stores.clickhouse.front.errors import Code, Refusal

VECTORS = [line.split() for line in (Path(__file__).parent / "cityhash128.txt").read_text().splitlines()]
PAIRS = [("gzip", "gzip"), ("deflate", "deflate"), ("lz4", "lz4"), ("zstd", "zstd")]


@pytest.mark.parametrize(("size", "wanted"), VECTORS)
def test_the_hash_is_the_one_of_clickhouse(size: str, wanted: str) -> None:
    """Vectors made with github.com/go-faster/city, which clickhouse-go uses: low and high half in hexadecimal."""
    data = bytes((i * 7 + i // 256 * 13 + int(size)) & 255 for i in range(int(size)))
    got = cityhash128(data)
    assert got[:8][::-1].hex() + got[8:][::-1].hex() == wanted


def decoded(decoder: codecs.Decoder, data: bytes, step: int) -> bytes:
    out = b"".join(decoder.feed(data[at : at + step]) for at in range(0, len(data), step))
    decoder.end()
    return out


@pytest.mark.parametrize("name", ["gzip", "deflate", "lz4", "zstd", "native"])
@given(pieces=st.lists(st.binary(max_size=5000), max_size=4), step=st.integers(1, 700))
def test_what_is_encoded_is_decoded(name: str, pieces: list[bytes], step: int) -> None:
    encoder = codecs.encoder(name)
    assert encoder
    wire = b"".join([*map(encoder.feed, pieces), encoder.end()])
    decoder = codecs.Blocks() if name == "native" else codecs.decoder(name)
    assert decoded(decoder, wire, step) == b"".join(pieces)


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
def test_members_may_follow_each_other(name: str) -> None:
    wire = b""
    for text in (b"one", b"two"):
        encoder = codecs.encoder(name)
        assert encoder
        wire += encoder.feed(text) + encoder.end()
    assert decoded(codecs.decoder(name), wire, 7) == b"onetwo"


@pytest.mark.parametrize("name", ["gzip", "deflate", "lz4", "zstd", "native"])
def test_a_body_that_ends_in_the_middle_is_refused(name: str) -> None:
    encoder = codecs.encoder(name)
    assert encoder
    wire = encoder.feed(os.urandom(5000)) + encoder.end()
    decoder = codecs.Blocks() if name == "native" else codecs.decoder(name)
    with pytest.raises(Refusal) as caught:
        decoded(decoder, wire[:-3], 100)
    assert caught.value.code == Code.CANNOT_DECOMPRESS


@pytest.mark.parametrize("name", ["gzip", "deflate", "lz4", "zstd"])
def test_broken_input_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        decoded(codecs.decoder(name), b"this is not compressed", 100)
    assert caught.value.code == Code.CANNOT_DECOMPRESS


def test_a_changed_byte_fails_the_checksum() -> None:
    wire = bytearray(codecs.BlockEncoder().feed(b"x" * 1000))
    wire[-1] ^= 1
    with pytest.raises(Refusal) as caught:
        codecs.Blocks().feed(bytes(wire))
    assert caught.value.code == Code.CHECKSUM_DOESNT_MATCH


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        codecs.decoder("br")
    assert caught.value.status == 501


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", ""),
        ("identity", ""),
        ("gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("lz4;q=0, zstd;q=0.5", "zstd"),
        ("zstd,lz4", "lz4"),
    ],
)
def test_the_cheapest_accepted_encoding_is_taken(header: str, wanted: str) -> None:
    assert codecs.accepted(header) == wanted

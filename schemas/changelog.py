"""The streams' own record of where they are, kept beside the state. Topics `decide.changelog`,
`groups.changelog` and `ruler.changelog`.

A changelog's key is a state key and its value the state, both opaque to all but the fold that wrote them. Keys that begin
with a zero byte are the runtime's: under `PLACE` lies, as JSON, how far the partition has come.
"""

from msgspec import Struct, field

RESERVED = b"\x00"
PLACE = RESERVED + b"place"


class Place(Struct, kw_only=True):
    """Written in the same transaction as the state and the facts it speaks of, so the three never disagree."""

    applied: dict[str, int] = field(default_factory=dict)
    """topic -> last offset of this partition that is in the state"""
    sequences: dict[str, int] = field(default_factory=dict)
    """`topic/partition` -> the last `wl-seq` this partition's producer wrote there"""

"""Who an event is, and where it goes: ids, routing keys and partitions. Pure, and the same in every process."""

import hashlib
from functools import lru_cache
from struct import unpack_from

SEPARATOR = "\x1f"


def span_event_id(tenant: str, trace_id: str, span_id: str) -> str:
    """32 hex digits: a span is one event however often it is sent."""
    return hashlib.blake2b(f"{tenant}{SEPARATOR}{trace_id}{SEPARATOR}{span_id}".encode(), digest_size=16).hexdigest()


def record_event_id(tenant: str, canonical: bytes, occurrence: int) -> str:
    """32 hex digits for a record without an id: equal records of one request differ by their `occurrence` (0, 1, ...)."""
    digest = hashlib.blake2b(canonical, digest_size=16)
    digest.update(f"{SEPARATOR}{tenant}{SEPARATOR}{occurrence}".encode())
    return digest.hexdigest()


def routing_key(tenant: str, decision_key: str, decision_id: str = "", event_id: str = "") -> bytes:
    """The Kafka key of an event: `tenant/decision`. The decision is the trace id or explicit id when there is one,
    else the business id, else the event alone. A tenant's name holds no slash, so two tenants never share a key."""
    return f"{tenant}/{decision_key or decision_id or event_id}".encode()


@lru_cache(maxsize=65536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition that the Java client (and librdkafka's `murmur2_random`) chooses for `key`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2), as an unsigned int."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    length = len(data)
    h = (0x9747B28C ^ length) & mask
    words = length >> 2
    for k in unpack_from(f"<{words}I", data):
        k = k * m & mask
        h = (h * m ^ (k ^ k >> 24) * m) & mask
    if tail := data[words << 2 :]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15

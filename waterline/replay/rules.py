"""What the recordings lack, made by rule: ids, clock, token counts, latency, the human's part. Seeded, so a seed gives the
same numbers every time. Every event lists in `synthetic_fields` which of its fields came from here.

    tokens       one per four characters of what the model would have read and written, both as recorded
    cache        a call reads from the cache what the call before it read, in steps of 128 tokens, from 1,024 on
    model call   first token after 250 ms + 0.05 ms per fresh and 0.005 ms per cached token, then 12 ms per output token
    tool call    40 ms + 0.02 ms per character of the result
    customer     4 s + 45 ms per character typed
    queue        2 to 30 minutes between hand-over and a human, most often 8
    review       3 to 20 minutes of work, most often 7, by one of four reviewers
    verdict      the benchmark's reward arrives a minute after the last work

All times but the last are multiplied by 0.8 to 1.5, drawn anew each time.
"""

import hashlib
import random

CHARS_PER_TOKEN = 4
CACHE_FROM, CACHE_STEP = 1024, 128
FIRST_TOKEN_MS, FRESH_MS, CACHED_MS, OUTPUT_MS = 250.0, 0.05, 0.005, 12.0
TOOL_MS, RESULT_MS = 40.0, 0.02
CUSTOMER_MS, TYPED_MS = 4000.0, 45.0
QUEUE_MINUTES = (2.0, 30.0, 8.0)
REVIEW_MINUTES = (3.0, 20.0, 7.0)
REVIEWERS = 4
VERDICT_MS = 60_000.0
SLOWEST, FASTEST = 1.5, 0.8


class Rules:
    """The rules for one run. Draws depend on the seed and the run alone, never on other runs."""

    def __init__(self, seed: int, decision_id: str) -> None:
        self._random = random.Random(f"{seed}/{decision_id}")

    def first_token_ms(self, fresh: int, cached: int) -> float:
        return self._vary(FIRST_TOKEN_MS + FRESH_MS * fresh + CACHED_MS * cached)

    def output_ms(self, tokens: int) -> float:
        return self._vary(OUTPUT_MS * tokens)

    def tool_ms(self, got: int) -> float:
        return self._vary(TOOL_MS + RESULT_MS * got)

    def customer_ms(self, chars: int) -> float:
        return self._vary(CUSTOMER_MS + TYPED_MS * chars)

    def queue_ms(self) -> float:
        return round(self._random.triangular(*QUEUE_MINUTES), 1) * 60_000

    def review_minutes(self) -> float:
        return round(self._random.triangular(*REVIEW_MINUTES), 1)

    def reviewer(self) -> str:
        return f"reviewer-{self._random.randint(1, REVIEWERS)}"

    def _vary(self, ms: float) -> float:
        return round(ms * self._random.uniform(FASTEST, SLOWEST), 3)


def tokens(chars: int) -> int:
    """Tokens of a text, at least one."""
    return max(1, -(-chars // CHARS_PER_TOKEN))


def cached(before: int) -> int:
    """Tokens read from the cache by a call whose predecessor in the same run read `before` tokens."""
    return before // CACHE_STEP * CACHE_STEP if before >= CACHE_FROM else 0


def trace_id(decision_id: str) -> str:
    """32 hex digits; the same whatever the seed, so that a run sent again is a copy."""
    return hashlib.blake2b(f"waterline replay {decision_id}".encode(), digest_size=16).hexdigest()


def span_id(trace: str, sequence: int) -> str:
    """16 hex digits."""
    return hashlib.blake2b(f"{trace} {sequence}".encode(), digest_size=8).hexdigest()

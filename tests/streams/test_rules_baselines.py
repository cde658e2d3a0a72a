"""Baselines of a rules file: what is read, and what each mistake is told as."""

from waterline.streams import rules_baselines, rules_file
from waterline.streams.rules_page import baseline_sentence
from waterline.streams.steps.moment import day_number
from waterline.streams.steps.rules import Pin

GOOD = b"""
rules: []
baselines:
  - agent: refunds
    tenant: acme
    artifact: v12
  - agent: search
    days: 2026-10-01 to 2026-10-31
  - agent: refunds
    days: 2026-10-01
"""
BAD = b"""rules: []
baselines:
  - tenant: acme
    artifact: v1
  - agent: a
  - agent: b
    artifact: v1
    days: 2026-10-01 to 2026-10-02
  - agent: c
    days: last week
  - agent: d
    days: 2026-10-05 to 2026-10-01
  - agent: e
    days: 2026-02-30
  - agent: f
    days: 2026-01-01 to 2026-06-30
  - agent: f
    version: v1
  - just words
"""


def test_baselines_are_read() -> None:
    rules, mistakes = rules_file.parse(GOOD)
    assert mistakes == []
    first, last = day_number("2026-10-01"), day_number("2026-10-31")
    assert rules.baselines == (
        Pin(agent="refunds", tenant="acme", artifact="v12"),
        Pin(agent="search", since=first, until=last),
        Pin(agent="refunds", since=first, until=first),
    )
    assert [baseline_sentence(pin) for pin in rules.baselines] == [
        "agent refunds of tenant acme: compared with artifact v12",
        "agent search: compared with 2026-10-01 to 2026-10-31",
        "agent refunds: compared with 2026-10-01 to 2026-10-01",
    ]


def test_every_mistake_says_what_to_write() -> None:
    rules, mistakes = rules_file.parse(BAD)
    assert rules.baselines == ()
    days = rules_baselines.FIELDS["days"]
    assert [(one.line, one.what) for one in mistakes] == [
        (3, "baseline number 1: agent is missing; write for instance agent: refund-agent"),
        (5, f"baseline number 2: artifact is missing; write for instance artifact: sha256:11ab, or days: {days}"),
        (8, "baseline number 3: days: an artifact is pinned already; leave one of the two out"),
        (10, f"baseline number 4: days: 'last week' are no days; write {days}"),
        (12, "baseline number 5: days: 2026-10-01 is before 2026-10-05; write 2026-10-01 to 2026-10-05"),
        (14, "baseline number 6: days: there is no day 2026-02-30; write one such as 2026-02-28"),
        (16, "baseline number 7: days: these are 181 days; 62 are kept, write 2026-04-30 to 2026-06-30"),
        (17, "baseline number 8: agent: line 15 pins what it is compared with already; leave one of them out"),
        (18, "baseline number 8: there is no field version; is artifact meant?"),
        (19, "baseline number 9: fields such as `agent:` are wanted, this is 'just words'"),
    ]


def test_a_section_that_is_no_list_is_told() -> None:
    (mistake,) = rules_file.parse(b"rules: []\nbaselines: v1\n")[1]
    assert mistake.what == "baselines: a list is wanted, each beginning with `- agent:`; this is 'v1'"

"""A ruler in a process of its own, that can be killed: `run_ruler.py NAME TRANSITIONS CHANGELOG BEGIN MINUTES`, whose clock goes
from BEGIN (microseconds) on by the minute."""

import sys

from waterline.ruler.ruler import Ruler
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.settings import settings
from waterline.schemas.topics import Topic
from waterline.streams import rules_file
from waterline.streams.steps.rules import RuleBook

MINUTE = 60_000_000


def main() -> None:
    name, transitions, changelog, begin, minutes = sys.argv[1:]
    now = int(begin)
    topic = Topic(transitions, "alert id", "", AlertTransition)
    book = RuleBook(rules_file.default())
    ruler = Ruler(settings(), book, clock=lambda: now, name=name, transitions=topic, changelog=changelog)
    ruler.open()
    for _ in range(int(minutes)):
        now += MINUTE
        ruler.turn()
    ruler.close()


if __name__ == "__main__":
    main()

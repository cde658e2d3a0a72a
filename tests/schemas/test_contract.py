"""The published schemas follow the declarations, and every version reads every other."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import orjson
import pytest

from waterline.schemas.compatibility import breaks
from waterline.schemas.events import FIELDS, TOKEN_CLASSES, Event
from waterline.schemas.generate import GENERATED, RELEASED, documents, json_schema, render
from waterline.schemas.reference import PAGE, page
from waterline.schemas.topics import AGENT_EVENTS, TOPICS, Topic

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
PUBLIC = [topic for topic in TOPICS if not topic.internal]


def lines_of(topic: Topic) -> list[tuple[str, Any]]:
    """Golden lines of a topic: files hold one line, or a dialect's input beside the events it must become."""
    found: list[tuple[str, Any]] = []
    for path in sorted((EXAMPLES / topic.name).glob("*.json")):
        example = orjson.loads(path.read_bytes())
        expected = example["expected"] if topic is AGENT_EVENTS and "expected" in example else [example]
        found.extend((f"{topic.name}/{path.stem}[{index}]", line) for index, line in enumerate(expected))
    return found


def test_generated_files_follow_the_declarations() -> None:
    """If this fails: `make schemas`, and commit what it wrote."""
    wanted = {name: render(document) for name, document in documents().items()}
    assert {path.name: path.read_bytes() for path in GENERATED.iterdir()} == wanted
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("topic", PUBLIC, ids=lambda topic: topic.name)
def test_every_released_version_and_this_one_read_each_other(topic: Topic) -> None:
    released = sorted(RELEASED.glob(f"*/{topic.name}.schema.json"))
    assert released, f"{topic.name} has no released schema: copy schemas/generated to schemas/released/<version>"
    for path in released:
        assert breaks(orjson.loads(path.read_bytes()), json_schema(topic)) == [], path


def _drop(schema: dict[str, Any]) -> None:
    del schema["$defs"]["Event"]["properties"]["team"]


def _retype(schema: dict[str, Any]) -> None:
    schema["$defs"]["Event"]["properties"]["attempt"]["type"] = "string"


def _require(schema: dict[str, Any]) -> None:
    schema["$defs"]["Event"]["required"].append("team")


def _narrow(schema: dict[str, Any]) -> None:
    schema["$defs"]["Event"]["properties"]["confidence"]["anyOf"][0]["maximum"] = 0.5


def _shorten(schema: dict[str, Any]) -> None:
    schema["$defs"]["Kind"]["enum"].pop()


@pytest.mark.parametrize("change", [_drop, _retype, _require, _narrow, _shorten])
def test_a_breaking_change_is_named(change: Callable[[dict[str, Any]], None]) -> None:
    old = json_schema(AGENT_EVENTS)
    new = copy.deepcopy(old)
    change(new)
    assert len(breaks(old, new)) == 1
    if change is not _drop:
        assert len(breaks(new, old)) == 1, "and so is its reverse: a record meets older readers too"


def test_a_new_optional_field_is_compatible() -> None:
    old = json_schema(AGENT_EVENTS)
    new = copy.deepcopy(old)
    new["$defs"]["Event"]["properties"]["mood"] = {"type": "string", "default": ""}
    assert breaks(old, new) == []
    assert breaks(new, new) == []


@pytest.mark.parametrize("topic", PUBLIC, ids=lambda topic: topic.name)
def test_golden_lines_are_valid_and_survive_the_round_trip(topic: Topic) -> None:
    examples = lines_of(topic)
    assert examples, f"schemas/examples/{topic.name}/ is empty"
    schema = jsonschema.Draft202012Validator(json_schema(topic))
    for name, line in examples:
        schema.validate(line)
        model = msgspec.json.decode(orjson.dumps(line), type=topic.model)
        assert msgspec.json.decode(msgspec.json.encode(model), type=topic.model) == model, name


def test_token_classes_are_fields_and_reasoning_is_not_one_of_them() -> None:
    assert FIELDS.issuperset(TOKEN_CLASSES)
    assert "tokens_reasoning" not in TOKEN_CLASSES, "it is a part of tokens_output and would be charged twice"
    assert all(Event.__annotations__[name] for name in TOKEN_CLASSES)

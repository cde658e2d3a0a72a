"""JSON Schema and AsyncAPI 3 of the public topics, made from the declarations: `python -m waterline.schemas.generate`.

The files in `generated/` are what other people's producers and consumers are built against. A test holds them against
the declarations (no drift) and against `released/` (every reader, old or new, reads every record, old or new).
"""

from pathlib import Path
from typing import Any

import msgspec
import orjson

from waterline.schemas.events import SCHEMA_VERSION
from waterline.schemas.frames import H_COUNT, H_PRODUCER, H_REPLAYS, H_SCHEMA, H_SEQ, H_TENANT, H_TYPE
from waterline.schemas.reference import PAGE, page
from waterline.schemas.settings import Settings
from waterline.schemas.topics import TOPICS, Topic

HERE = Path(__file__).parent
GENERATED = HERE / "generated"
RELEASED = HERE / "released"

HEADERS = {
    H_SCHEMA: "schema version of the lines",
    H_COUNT: "how many lines the value holds",
    H_TENANT: "the tenant all lines belong to",
    H_PRODUCER: "who produced the record: instance and boot",
    H_SEQ: "the producer's running number within the partition; a hole is a lost record",
    H_TYPE: "tick, when the record tells the time and holds no event",
    H_REPLAYS: "how often the record was replayed from the dead letters",
}


def documents() -> dict[str, dict[str, Any]]:
    """File name -> document, for every topic that is public, and the AsyncAPI document over them."""
    public = [topic for topic in TOPICS if not topic.internal]
    files = {f"{topic.name}.schema.json": json_schema(topic) for topic in public}
    files["asyncapi.json"] = asyncapi(public)
    return files


def json_schema(topic: Topic) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one line of a topic."""
    (ref,), components = msgspec.json.schema_components([topic.model], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:waterline:{topic.name}:{SCHEMA_VERSION}",
        "title": topic.name,
        **ref,
        "$defs": components,
    }


def asyncapi(topics: list[Topic]) -> dict[str, Any]:
    partitions = Settings.model_fields["partitions"].default
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for topic in topics:
        message = {
            "name": topic.model.__name__,
            "contentType": "application/x-ndjson" if topic.name.startswith("agent.") else "application/json",
            "headers": {"type": "object", "properties": {k: {"type": "string", "description": v} for k, v in HEADERS.items()}},
            "payload": {"$ref": f"./{topic.name}.schema.json"},
            "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}}},
        }
        policy = topic.policy["cleanup.policy"].split(",")
        retention = {name: int(value) for name, value in topic.policy.items() if name == "retention.ms"}
        channels[topic.name] = {
            "address": topic.name,
            "description": topic.meaning,
            "messages": {topic.model.__name__: message},
            "bindings": {
                "kafka": {"partitions": partitions, "topicConfiguration": {"cleanup.policy": policy, **retention}},
            },
        }
        channel = {"$ref": f"#/channels/{topic.name.replace('/', '~1')}"}
        operations[f"receive {topic.name}"] = {"action": "receive", "channel": channel}
        operations[f"send {topic.name}"] = {"action": "send", "channel": channel}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Waterline", "version": str(SCHEMA_VERSION), "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    }


def render(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def main() -> None:
    GENERATED.mkdir(exist_ok=True)
    wanted = documents()
    for path in GENERATED.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, document in wanted.items():
        (GENERATED / name).write_bytes(render(document))
        print(f"schemas/generated/{name}")
    PAGE.write_text(page())
    print("schemas/REFERENCE.md")


if __name__ == "__main__":
    main()

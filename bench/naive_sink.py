"""What one would write without us: consume, insert, commit. One event a message, at-least-once, no ledger, no dead letters.

    python -m bench.naive_sink BOOTSTRAP CLICKHOUSE DATABASE TOPIC TABLE ROWS

Its fast ways, as documented: messages are consumed many at a time, one insert context is used again and again, so that the
table is described once, and columns are given rather than rows, with values in the types that they have.
"""

import json
import signal
import sys
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
from confluent_kafka import Consumer, Message

PLAIN = (
    "event_id",
    "source",
    "tenant",
    "session_id",
    "decision_key",
    "span_id",
    "kind",
    "name",
    "agent",
    "task",
    "provider",
    "model_requested",
    "model_served",
    "finish_reason",
)
COUNTED = ("tokens_input", "tokens_output")
TIMES = ("ts", "received_at")
POSITION = ("kafka_topic", "kafka_partition", "kafka_offset", "frame_index")
COLUMNS = (*PLAIN, *COUNTED, *TIMES, *POSITION)
LINGER_S = 1.0


def columns_of(messages: list[Message]) -> list[list[Any]]:
    """What `messages` say, column by column in the order of COLUMNS."""
    events = [json.loads(message.value() or b"") for message in messages]
    columns: list[list[Any]] = [[event.get(name, "") for event in events] for name in PLAIN]
    columns += [[event.get(name, 0) for event in events] for name in COUNTED]
    columns += [[datetime.fromisoformat(event[name]) for event in events] for name in TIMES]
    columns.append([message.topic() for message in messages])
    columns.append([message.partition() for message in messages])
    columns.append([message.offset() for message in messages])
    columns.append([0] * len(messages))
    return columns


def main(bootstrap: str, clickhouse: str, database: str, topic: str, table: str, rows: int) -> None:
    url = urlsplit(clickhouse)
    client = clickhouse_connect.get_client(host=url.hostname, port=url.port, database=database, compress=False)
    context = client.create_insert_context(table, column_names=COLUMNS, database=database, column_oriented=True)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"naive-{topic}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
    while not stop:
        messages = [message for message in consumer.consume(rows, LINGER_S) if message.error() is None]
        if messages:
            context.data = columns_of(messages)
            client.insert(context=context)
            consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    bootstrap, clickhouse, database, topic, table, rows = sys.argv[1:]
    main(bootstrap, clickhouse, database, topic, table, int(rows))

"""A dead letter can be sent again; what is still bad is buried again and says how often it was tried."""

import uuid

from confluent_kafka import Producer

from tests.flow.conftest import Pipeline


def test_a_dead_letter_goes_back_and_counts_its_replays(pipeline: Pipeline) -> None:
    mark = f"not json {uuid.uuid4().hex}"
    producer = Producer({"bootstrap.servers": pipeline.stack.kafka})
    producer.produce("agent.events", mark.encode(), partition=3)
    assert producer.flush(30) == 0
    sql = f"SELECT id, replays, code FROM dead_letters WHERE base64Decode(raw) = '{mark}' ORDER BY replays"
    (first,) = pipeline.until(lambda: pipeline.rows(sql))
    assert (first["replays"], first["code"]) == (0, "invalid_json")

    assert "1 dead letters would be" in pipeline.waterline("replay", "--id", first["id"], "--dry-run")
    assert len(pipeline.rows(sql)) == 1
    assert first["id"] in pipeline.waterline("replay", "--id", first["id"])

    found = pipeline.until(lambda: [row for row in pipeline.rows(sql) if row["replays"] == 1])
    assert found[0]["id"] != first["id"]


def test_a_filter_that_means_nothing_is_refused(pipeline: Pipeline) -> None:
    pipeline.waterline("replay", "--code", "nonsense", code=2)
    pipeline.waterline("replay", "--topic", "nonsense", code=2)

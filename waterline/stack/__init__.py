"""The local stack: Kafka, the ClickHouse front and our own processes as children of one supervisor."""

from waterline.stack.supervisor import Stack, StackError

__all__ = ["Stack", "StackError"]

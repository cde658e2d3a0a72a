"""The collector: telemetry in, frames of `agent.events` out. What it answered with success is in Kafka."""

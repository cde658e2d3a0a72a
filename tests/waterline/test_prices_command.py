"""`waterline prices`: what a person sees of the price list."""

import json
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from waterline.commands.prices import register
from waterline.schemas.settings import settings


@pytest.fixture
def run(kafka: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.setenv("WATERLINE_KAFKA", kafka)
    monkeypatch.delenv("WATERLINE_PRICES_FILE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()
    yield CliRunner()
    settings.cache_clear()


def test_publish_and_list(run: CliRunner) -> None:
    app = typer.Typer()
    register(app)
    first, second = (run.invoke(app, ["prices", "publish"]) for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.output
    assert first.output.startswith(("published ", "no price has changed"))
    assert second.output == "no price has changed\n"

    shown = [json.loads(line) for line in run.invoke(app, ["prices", "list", "openai/gpt-4o", "--json"]).output.splitlines()]
    (gpt,) = [price for price in shown if price["price_key"] == "openai/gpt-4o"]
    assert (gpt["tokens_input"], gpt["tokens_cache_read"], gpt["tokens_output"]) == ("2.5", "1.25", "10")
    table = run.invoke(app, ["prices", "list", "human"]).output
    assert "human/*/*" in table
    assert "setting reviewer_rate" in table

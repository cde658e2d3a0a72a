"""The Grafana dashboard, written from the files of sql/panels: `python -m waterline.dashboards.generate`.

A panel asks exactly what its file asks; only the parameters become Grafana's own: the time range and the variables of the
dashboard, quoted by Grafana as SQL strings. Beside cost stands completeness, so that no number is read without it.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waterline.connectors.stores.clickhouse import questions
from waterline.connectors.stores.clickhouse.questions import USED

FILE = Path(__file__).parent / "grafana" / "waterline.json"
SOURCE = {"type": "grafana-clickhouse-datasource", "uid": "waterline"}
TIME_RANGE = {"since": "$__fromTime", "until": "$__toTime"}
VARIABLES = {"tenant": "default"}
FIXED = {"topic": "''"}


@dataclass(frozen=True, slots=True)
class Panel:
    """`at` is x, y, width, height on a grid of 24 columns; `table` shows all columns, else time runs to the right."""

    file: str
    at: tuple[int, int, int, int]
    table: bool = False
    shown: tuple[str, ...] = field(default=())


PANELS = (
    Panel("cost_by_day", (0, 0, 24, 10), shown=("time", "api_cost", "human_cost", "expected_each")),
    Panel("completeness", (0, 10, 24, 5), table=True),
)


def statement(panel: Panel) -> str:
    """The file's SQL with Grafana's names for its parameters. Raises KeyError for one that Grafana cannot give."""
    question = questions.panel(panel.file)
    values = TIME_RANGE | FIXED | {name: f"${{{name}:sqlstring}}" for name in VARIABLES}
    body = "\n".join(line for line in question.sql.splitlines() if not line.startswith("--")).strip().rstrip(";")
    return USED.sub(lambda found: values[found.group(1)], body)


def drawn(number: int, panel: Panel) -> dict[str, Any]:
    question = questions.panel(panel.file)
    x, y, width, height = panel.at
    money = [
        {"matcher": {"id": "byName", "options": column}, "properties": [{"id": "unit", "value": "currencyUSD"}]}
        for column, unit in question.units.items()
        if unit == "USD"
    ]
    only = {"id": "filterFieldsByName", "options": {"include": {"names": list(panel.shown)}}}
    return {
        "id": number,
        "type": "table" if panel.table else "timeseries",
        "title": question.words,
        "description": question.notes,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "fieldConfig": {"defaults": {"noValue": "no data"}, "overrides": money},
        "targets": [
            {
                "refId": "A",
                "datasource": SOURCE,
                "editorType": "sql",
                "queryType": "table" if panel.table else "timeseries",
                "format": 1 if panel.table else 0,
                "rawSql": statement(panel),
            }
        ],
        "transformations": [only] if panel.shown else [],
    }


def dashboard() -> dict[str, Any]:
    variables = [{"name": name, "type": "textbox", "query": value} for name, value in VARIABLES.items()]
    return {
        "uid": "waterline",
        "title": "Waterline",
        "tags": ["waterline"],
        "schemaVersion": 39,
        "editable": False,
        "timezone": "utc",
        "time": {"from": "now-30d", "to": "now"},
        "refresh": "1m",
        "templating": {"list": variables},
        "panels": [drawn(number, panel) for number, panel in enumerate(PANELS, 1)],
    }


def written() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(written())
    print(f"wrote {FILE.name}", file=sys.stderr)

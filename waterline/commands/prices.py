"""`waterline prices publish | list`: what calls are priced by."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from waterline import reach, show
from waterline.schemas.facts import PriceVersion
from waterline.schemas.settings import settings

prices = typer.Typer(help="What calls are priced by: the table of genai-prices and the override file.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(prices, name="prices")


@prices.command()
def publish() -> None:
    """Publish what changed in the table or the override file. It applies to events received from a minute later on."""
    from waterline.streams.prices import publish as publish_prices

    reach.kafka(settings())
    fresh = publish_prices(settings(), datetime.now(UTC))
    if not fresh:
        print("no price has changed")
        return
    since = fresh[0].known_from
    when = "as known since ever" if since.year == 1970 else f"known from {since:%Y-%m-%d %H:%M:%S} UTC on"
    print(f"published {len(fresh)} prices of {len({version.price_key for version in fresh})} keys, {when}")


@prices.command(name="list")
def list_prices(
    name: Annotated[str, typer.Argument(help="a part of provider/model; none = all")] = "",
    history: Annotated[bool, typer.Option(help="superseded versions too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Show the published prices, in USD per million units."""
    from waterline.streams.prices import read

    reach.kafka(settings())
    found = sorted(
        (version for version in read(settings()) if name.lower() in version.price_key.lower()),
        key=lambda version: (version.price_key, version.known_from, version.effective_from),
    )
    if not history:
        newest = {version.price_key: version.known_from for version in found}
        found = [version for version in found if version.known_from == newest[version.price_key] and version.unit_prices]
    if as_json:
        for version in found:
            print(json.dumps(_shown(version)))
        return
    rows = []
    for version in found:
        shown = _shown(version)
        amounts = ", ".join(f"{unit} {amount}" for unit, amount in version.unit_prices.items()) or "withdrawn"
        rows.append([version.price_key, shown["effective_from"][:10], shown["known_from"][:19], amounts, version.source])
    show.print_table(show.console(), ["price", "effective from", "known from", "USD per million", "source"], rows)


def _shown(version: PriceVersion) -> dict[str, str]:
    return {
        "price_key": version.price_key,
        "price_id": version.price_id,
        "effective_from": version.effective_from.isoformat(),
        "known_from": version.known_from.isoformat(),
        "source": version.source,
        **version.unit_prices,
    }

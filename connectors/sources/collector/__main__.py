"""`python -m waterline.connectors.sources.collector`"""

import uvloop

from waterline.connectors.sources.collector.server import serve
from waterline.schemas.settings import settings


def main() -> None:
    uvloop.run(serve(settings()))


if __name__ == "__main__":
    main()

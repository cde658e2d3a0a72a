"""Content types of the output formats, as a server sends them."""

JSON = "application/json; charset=UTF-8"
TEXT = "text/plain; charset=UTF-8"
TSV = "text/tab-separated-values; charset=UTF-8"
BINARY = "application/octet-stream"

TYPES = {
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSONStringsEachRow": "application/x-ndjson; charset=UTF-8",
    "NDJSON": "application/x-ndjson; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
    "Markdown": "text/markdown; charset=UTF-8",
    "Parquet": BINARY,
    "Arrow": BINARY,
    "ArrowStream": BINARY,
    "ORC": BINARY,
    "Avro": BINARY,
    "Native": BINARY,
    "MsgPack": BINARY,
    "Protobuf": BINARY,
    "ProtobufSingle": BINARY,
    "Npy": BINARY,
}
PREFIXES = (
    ("RowBinary", BINARY),
    ("JSON", JSON),
    ("TabSeparated", TSV),
    ("TSV", TSV),
    ("CSV", "text/csv; charset=UTF-8; header=absent"),
)


def content_type(form: str) -> str:
    if form in TYPES:
        return TYPES[form]
    if form in ("CSVWithNames", "CSVWithNamesAndTypes"):
        return "text/csv; charset=UTF-8; header=present"
    return next((kind for prefix, kind in PREFIXES if form.startswith(prefix)), TEXT)

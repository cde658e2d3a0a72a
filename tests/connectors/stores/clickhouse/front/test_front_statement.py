"""Where a statement's FORMAT clause is, where it ends, and where the data of an INSERT begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.connectors.stores.clickhouse.front.statement import Input, Insert, Output, first_word, input_call, insert, output


@pytest.mark.parametrize(
    ("text", "before", "form", "after"),
    [
        (b"SELECT 1", b"SELECT 1", "", b""),
        (b"SELECT 1;", b"SELECT 1", "", b""),
        (b"SELECT 1 -- FORMAT CSV\n", b"SELECT 1", "", b""),
        (b"SELECT 1 FORMAT JSON ;\n", b"SELECT 1 ", "JSON", b""),
        (b"SELECT 1\n FORMAT Native", b"SELECT 1\n ", "Native", b""),
        (b"select 1 format csv settings max_threads=1", b"select 1 ", "csv", b" settings max_threads=1"),
        (b"SELECT 1 SETTINGS max_threads=1 FORMAT CSV", b"SELECT 1 SETTINGS max_threads=1 ", "CSV", b""),
        (b"SELECT ' FORMAT CSV ''\\' FORMAT'", b"SELECT ' FORMAT CSV ''\\' FORMAT'", "", b""),
        (b"SELECT format('{}', 1)", b"SELECT format('{}', 1)", "", b""),
        (b"SELECT a format FROM t", b"SELECT a format FROM t", "", b""),
        (b"SELECT format x FROM t FORMAT TSV", b"SELECT format x FROM t ", "TSV", b""),
        (b"SELECT (SELECT 1 FORMAT CSV)", b"SELECT (SELECT 1 FORMAT CSV)", "", b""),
        (b"SELECT $a$ FORMAT CSV $a$ /* FORMAT CSV */", b"SELECT $a$ FORMAT CSV $a$", "", b""),
        (b"SELECT `FORMAT` FROM `a\\`b` FORMAT XML", b"SELECT `FORMAT` FROM `a\\`b` ", "XML", b""),
    ],
)
def test_a_statement_is_cut_at_its_format(text: bytes, before: bytes, form: str, after: bytes) -> None:
    assert output(text) == Output(before, form, after)


def test_into_outfile_is_seen_wherever_it_stands() -> None:
    assert output(b"SELECT 1 INTO /**/ OUTFILE '/tmp/x' FORMAT CSV").into_outfile
    assert not output(b"SELECT 'INTO OUTFILE', into, outfile FROM t").into_outfile


@pytest.mark.parametrize(
    ("text", "head", "form", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"insert into t (a, b) format JSONEachRow {}", b"insert into t (a, b) ", "JSONEachRow", b"{}"),
        (b"INSERT INTO t FORMAT RowBinary\r\n\x00\x01", b"INSERT INTO t ", "RowBinary", b"\x00\x01"),
        (b"INSERT INTO t FORMAT RowBinary \n\n\x00", b"INSERT INTO t ", "RowBinary", b"\n\x00"),
        (b"INSERT INTO t SETTINGS a=1 FORMAT CSV\n1", b"INSERT INTO t SETTINGS a=1 ", "CSV", b"1"),
        (b"INSERT INTO t FORMAT CSV SETTINGS a=1, b='x''y'\n1", b"INSERT INTO t  SETTINGS a=1, b='x''y'", "CSV", b"1"),
        (b"INSERT INTO t VALUES (1), (2)", b"INSERT INTO t ", "Values", b" (1), (2)"),
        (b"INSERT INTO t (values) VALUES(1)", b"INSERT INTO t (values) ", "Values", b"(1)"),
        (b"/* c */ INSERT INTO db.format FORMAT TSV\n1", b"/* c */ INSERT INTO db.format ", "TSV", b"1"),
        (b"INSERT INTO values VALUES (1)", b"INSERT INTO values ", "Values", b" (1)"),
        (b"INSERT INTO FUNCTION null('a UInt8') FORMAT CSV\n1", b"INSERT INTO FUNCTION null('a UInt8') ", "CSV", b"1"),
    ],
)
def test_an_insert_is_parted_from_its_data(text: bytes, head: bytes, form: str, data: bytes) -> None:
    found = insert(text)
    assert found == Insert(head, form, len(text) - len(data))


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1 FORMAT CSV",
        b"INSERT INTO t SELECT * FROM u",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"",
        b"EXPLAIN INSERT",
    ],
)
def test_other_statements_bring_no_data(text: bytes) -> None:
    assert insert(text) is None


def test_an_insert_select_is_told_apart() -> None:
    found = insert(b"INSERT INTO t SELECT a FROM input('a UInt8') FORMAT CSV\n1\n")
    assert found
    assert found.selects
    assert input_call(found.head) == Input(28, 44, "a UInt8")


@pytest.mark.parametrize(
    ("text", "structure"),
    [
        (b"INSERT INTO t SELECT x FROM INPUT ( 'a Enum(\\'x\\' = 1)' ) WHERE 'input(' != ''", "a Enum('x' = 1)"),
        (b"INSERT INTO t SELECT x FROM input('a Enum(''x'' = 1)')", "a Enum('x' = 1)"),
        (b"INSERT INTO t SELECT 'input(''a'')' FROM input", None),
        (b"INSERT INTO t SELECT input(a) FROM u", None),
    ],
)
def test_input_is_found_where_it_is_called(text: bytes, structure: str | None) -> None:
    found = input_call(text)
    assert (found.structure if found else None) == structure


@given(st.binary(max_size=200))
def test_data_are_never_read_as_statement(data: bytes) -> None:
    head = b"INSERT INTO t FORMAT RowBinary\n"
    assert insert(head + data) == Insert(b"INSERT INTO t ", "RowBinary", len(head))


@given(st.binary(max_size=200))
def test_no_text_breaks_the_reader(text: bytes) -> None:
    first_word(text)
    insert(text)
    cut = output(text)
    assert len(cut.before) + len(cut.format) + len(cut.after) <= len(text)

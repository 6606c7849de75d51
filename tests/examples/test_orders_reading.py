from __future__ import annotations

from pathlib import Path

import pytest
from examples.orders.generate import ORDERS_FILE, generate
from examples.orders.model import Line, Order
from examples.orders.reading import (
    BadLineError,
    OrdersFileError,
    Rejected,
    parse_order,
    read_orders,
)

HEADER = b"id,customer,lines,amount,country\n"
GOOD = b"order-1001,Ada,SKU-12 x2,149.90,DE\n"


def test_file_of_the_demonstration_holds_980_orders_and_20_bad_lines() -> None:
    book = read_orders(ORDERS_FILE)
    assert len(book.orders) == 980
    assert book.lines_read == 1000
    assert book.rejected == (
        Rejected(26, "4 fields instead of 5"),
        Rejected(97, "6 fields instead of 5"),
        Rejected(106, "6 fields instead of 5"),
        Rejected(186, "amount '149,90' is not a number like 149.90"),
        Rejected(190, "amount 'on request' is not a number like 149.90"),
        Rejected(196, "amount -35.00 is not above zero"),
        Rejected(200, "amount 0.00 is not above zero"),
        Rejected(207, "no amount"),
        Rejected(309, "amount 'NaN' is not a number like 149.90"),
        Rejected(367, "unknown country 'XX'"),
        Rejected(378, "no country"),
        Rejected(380, "no order lines"),
        Rejected(392, "order line 'SKU-12 2' is not like 'SKU-12 x2'"),
        Rejected(394, "order line 'SKU-7 x0' orders nothing"),
        Rejected(425, "id order-1003 was on line 4 already"),
        Rejected(561, "id '' is not like order-1001"),
        Rejected(631, "no customer"),
        Rejected(645, "bad quoting: unexpected end of data"),
        Rejected(830, "bad quoting: ',' expected after '\"'"),
        Rejected(983, "not UTF-8: byte 0xfc at position 13"),
    )


def test_file_of_the_demonstration_has_quoted_fields_and_names_of_all_alphabets() -> None:
    customers = {order.customer for order in read_orders(ORDERS_FILE).orders}
    assert {"Weiß, Jürgen", 'Trattoria "Da Peppino", di G. Russo', "山田 太郎"} <= customers


def test_file_of_the_demonstration_is_what_its_generator_makes() -> None:
    assert ORDERS_FILE.read_bytes() == generate()


def test_order_is_read_with_its_lines_and_cents_when_fields_are_quoted() -> None:
    line = 'order-1007,"Zakład ""Złota Rączka"", s.c.","SKU-25 x1; SKU-34 x20",1588.5,PL'
    assert parse_order(line.encode()) == Order(
        id="order-1007",
        customer='Zakład "Złota Rączka", s.c.',
        lines=(Line("SKU-25", 1), Line("SKU-34", 20)),
        amount_cents=158_850,
        country="PL",
    )


@pytest.mark.parametrize(
    "line,reason",
    [
        (b"", "the line is empty"),
        (b"  \r", "the line is empty"),
        (b"order-1,Ada,SKU-1 x1,1.00,DE", "id 'order-1' is not like order-1001"),
        (b"order-1001,Ada,SKU-1 x1,1.999,DE", "amount '1.999' is not a number like 149.90"),
        (b"order-1001,Ada,SKU-1 x1,1e3,DE", "amount '1e3' is not a number like 149.90"),
        (b"order-1001,Ada,SKU-1 x1;,1.00,DE", "order line '' is not like 'SKU-12 x2'"),
        (
            "order-1001,Ada,SKU-1 x\u0663,1.00,DE".encode(),
            "order line 'SKU-1 x\u0663' is not like 'SKU-12 x2'",
        ),
        (b"order-1001,Ada,SKU-1 x1,1.00,de", "unknown country 'de'"),
    ],
)
def test_line_is_refused_with_the_reason(line: bytes, reason: str) -> None:
    with pytest.raises(BadLineError) as refused:
        parse_order(line)
    assert str(refused.value) == reason


def test_forgotten_quote_spoils_its_own_line_only(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(HEADER + b'order-1000,"Ada,SKU-12 x2,149.90,DE\n' + GOOD)
    book = read_orders(file)
    assert [order.id for order in book.orders] == ["order-1001"]
    assert [rejected.line_number for rejected in book.rejected] == [2]


def test_id_of_a_rejected_line_may_be_used_by_a_later_one(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(HEADER + b"order-1001,Ada,SKU-12 x2,149.90,XX\n" + GOOD + GOOD)
    book = read_orders(file)
    assert [order.id for order in book.orders] == ["order-1001"]
    assert book.rejected == (
        Rejected(2, "unknown country 'XX'"),
        Rejected(4, "id order-1001 was on line 3 already"),
    )


def test_file_of_a_spreadsheet_is_read_when_it_has_a_byte_order_mark_and_crlf(
    tmp_path: Path,
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(b"\xef\xbb\xbf" + (HEADER + GOOD).replace(b"\n", b"\r\n"))
    book = read_orders(file)
    assert [order.country for order in book.orders] == ["DE"]
    assert book.rejected == ()


def test_only_the_first_lines_are_read_when_so_many_are_asked_for() -> None:
    book = read_orders(ORDERS_FILE, 26)
    assert (len(book.orders), len(book.rejected)) == (25, 1)


def test_file_is_refused_when_it_is_missing_or_does_not_begin_with_the_header(
    tmp_path: Path,
) -> None:
    with pytest.raises(OrdersFileError, match="cannot be read"):
        read_orders(tmp_path / "none.csv")
    file = tmp_path / "other.csv"
    file.write_bytes(GOOD)
    with pytest.raises(OrdersFileError, match="does not begin with the line 'id,customer"):
        read_orders(file)

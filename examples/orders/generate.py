"""How `orders.csv` was made: `python -m examples.orders.generate`. Seeded, so it makes the same file every time.

980 good orders, as a shop that delivers all over Europe has them, and 20 lines that are spoiled in 20 ways.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path

from examples.orders.model import COUNTRIES
from examples.orders.reading import COLUMNS

ORDERS_FILE = Path(__file__).with_name("orders.csv")
LINES = 1000
SEED = 20261121

_PEOPLE = (
    """
Anna Müller|José García|Zoë Janssens|Łukasz Wiśniewski|Søren Kjær|Åsa Lindström|François Lefèvre|Jiří Dvořák
Siobhán O'Brien|João Gonçalves|Mäki, Päivi|Nguyễn Thị Hoa|Γιώργος Παπαδόπουλος|Ольга Петрова|山田 太郎|Çağla Öztürk
Weiß, Jürgen|Chiara D'Angelo|Noémie Dubois|Bjørn Ødegård|Ivan Horvat|Emma de Vries|Tomás Ó Súilleabháin|Katarzyna Żak
"Gigi" Rossi|Marie-Claire Étienne|Piet van den Berg|Hans Huber|Lucía Muñoz|Oskar Nilsson|Eva Nováková|Liam Byrne
""".strip()
    .replace("\n", "|")
    .split("|")
)
_COMPANIES = [
    "Bäckerei Krüger, Inh. S. Krüger",
    'Foto "Blende 8" GmbH',
    "Smith, Jones & Partners, Ltd.",
    "Café «Le Chat Noir»",
    'Zakład "Złota Rączka", s.c.',
    "Ferretería Núñez, S.L.",
    "Æblegården A/S",
    'Trattoria "Da Peppino", di G. Russo',
    "Kfz-Werkstatt Özdemir",
    "Blumen & Mehr",
]


def unit_price_cents(sku_number: int) -> int:
    """From 2.90 to about 340 each; a few articles are dear."""
    return 290 + sku_number * 97 % 4_900 + (29_000 if sku_number % 17 == 0 else 0)


def good_row(draw: random.Random, number: int) -> list[str]:
    """One order as the fields of its line."""
    wanted = draw.sample(range(1, 100), draw.choices([1, 2, 3, 4, 5], [30, 35, 20, 10, 5])[0])
    lines = [(sku, draw.choices([1, 2, 3, 10], [60, 25, 12, 3])[0]) for sku in wanted]
    cents = sum(unit_price_cents(sku) * quantity for sku, quantity in lines)
    return [
        f"order-{number}",
        draw.choice(_COMPANIES if draw.random() < 0.2 else _PEOPLE),
        "; ".join(f"SKU-{sku} x{quantity}" for sku, quantity in lines),
        f"{cents // 100}.{cents % 100:02}",
        draw.choice(sorted(COUNTRIES)),
    ]


def line_of(fields: list[str]) -> bytes:
    """Fields as a line of CSV, without its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue().encode()


def _with(position: int, value: str) -> Callable[[list[str]], bytes]:
    return lambda fields: line_of([*fields[:position], value, *fields[position + 1 :]])


SPOILERS: list[Callable[[list[str]], bytes]] = [
    lambda fields: line_of(fields[:4]),
    lambda fields: line_of([*fields, "express"]),
    lambda fields: line_of(fields).replace(b".", b","),
    _with(3, "149,90"),
    _with(3, "on request"),
    _with(3, "-35.00"),
    _with(3, "0.00"),
    _with(3, ""),
    _with(3, "NaN"),
    _with(4, "XX"),
    _with(4, ""),
    _with(2, ""),
    _with(2, "SKU-12 2; SKU-7 x1"),
    _with(2, "SKU-12 x2; SKU-7 x0"),
    _with(0, "order-1003"),
    _with(0, ""),
    _with(1, "  "),
    lambda fields: f'{fields[0]},"{fields[1].replace(chr(34), "")},{",".join(fields[2:])}'.encode(),
    lambda fields: f'{fields[0]},"Berg" & Sohn,{",".join(fields[2:])}'.encode(),
    lambda fields: f"{fields[0]},M\u00fcller,{','.join(fields[2:])}".encode("latin-1"),
]
"""One for each way in which a line of the file is spoiled."""


def generate() -> bytes:
    """The whole file."""
    draw = random.Random(SEED)  # noqa: S311  # the same orders every time
    spoilers = iter(SPOILERS)
    spoiled = set(draw.sample(range(20, LINES), len(SPOILERS)))
    lines = [line_of(list(COLUMNS))]
    for number in range(LINES):
        fields = good_row(draw, 1001 + number)
        lines.append(next(spoilers)(fields) if number in spoiled else line_of(fields))
    return b"\n".join([*lines, b""])


if __name__ == "__main__":
    ORDERS_FILE.write_bytes(generate())
    print(f"{ORDERS_FILE.name}: {LINES} lines, {len(SPOILERS)} of them spoiled")

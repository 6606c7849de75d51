"""The whole corpus."""

from __future__ import annotations

from tests.property.corpus import activities, endings, generators, handlers, signals, tasks, times

SHAPES = [
    shape
    for module in (activities, tasks, times, signals, handlers, endings, generators)
    for shape in module.SHAPES
]

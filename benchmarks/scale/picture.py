"""An SVG of what happens as the load grows: how busy everything is, and how long a step takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.stage import Line

WIDTH, HEIGHT = 340, 220
LEFT, TOP, BOTTOM = 46, 34, 34
_INNER = WIDTH - LEFT - 14
_DEPTH = HEIGHT - TOP - BOTTOM
_COLOURS = ("#1f6f8b", "#c8553d", "#8a8d91")

Curve = tuple[str, Callable[[Line], float]]
_BUSY: Sequence[Curve] = (
    ("brokers", lambda line: 100 * line["busy"]["brokers"]),
    ("workflow workers", lambda line: 100 * line["busy"]["workflow workers"]),
    ("group coordinator", lambda line: 100 * line["busy"]["group coordinator"]),
)
_TIMES: Sequence[Curve] = (
    ("p50", lambda line: line["p50_ms"]),
    ("p99", lambda line: line["p99_ms"]),
    ("batch / 10", lambda line: line["batch"] / 10),
)


def picture(lines: Sequence[Line]) -> str:
    """Two panels beside each other, of lines that differ in their load."""
    parts = [
        *_panel(0, "busy, %", lines, _BUSY),
        *_panel(WIDTH, "step, ms; records of a batch / 10", lines, _TIMES),
    ]
    size = f'width="{2 * WIDTH}" height="{HEIGHT}" viewBox="0 0 {2 * WIDTH} {HEIGHT}"'
    style = 'font-family="sans-serif" font-size="11" fill="#555"'
    background = f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{background}\n{body}\n</svg>\n'
    )


def _panel(
    offset: int, title: str, lines: Sequence[Line], curves: Sequence[Curve]
) -> Iterator[str]:
    most = max(value(line) for line in lines for _, value in curves)
    top = next(step for step in (50, 100, 150, 200, 500, 1000, 10_000) if step >= most)

    def at(load: float, value: float) -> tuple[float, float]:
        return offset + LEFT + load * _INNER, TOP + _DEPTH * (1 - value / top)

    yield f'<text x="{offset + LEFT}" y="14" font-weight="bold">{title}</text>'
    for share in (0.0, 0.5, 1.0):
        left, height = at(0.0, share * top)
        yield f'<path d="M{left:.0f} {height:.0f}h{_INNER}" stroke="#ddd"/>'
        yield f'<text x="{left - 6:.0f}" y="{height + 4:.0f}" text-anchor="end">{share * top:g}</text>'
        across, floor = at(share, 0.0)
        yield f'<text x="{across:.0f}" y="{floor + 16:.0f}" text-anchor="middle">{share:.0%}</text>'
    yield f'<text x="{offset + LEFT + _INNER / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">load</text>'
    for place, ((name, value), colour) in enumerate(zip(curves, _COLOURS, strict=True)):
        points = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in (at(line["load"], value(line)) for line in lines)
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        x = offset + LEFT + place * _INNER / 3
        yield f'<text x="{x:.0f}" y="28" fill="{colour}">{name}</text>'

"""Bar charts as numbers for an SVG template: no script, no style attributes. Pure."""

from __future__ import annotations

from dataclasses import dataclass

WIDTH, HEIGHT = 880, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 4, 12, 24
FEWEST_PIXELS = 2
MOST_LABELS = 9
STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Point:
    """One bar to draw: the label under it, its value, and the words shown on hovering."""

    label: str
    value: int
    words: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A drawn bar and the column that reacts to the pointer, in SVG units; ``label`` is empty where it would crowd."""

    x: float
    y: float
    width: float
    height: float
    column_x: float
    column_width: float
    middle: float
    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the grid: its height and the value it stands for."""

    y: float
    value: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the template writes out."""

    width: int
    height: int
    left: int
    right: int
    base: int
    column_height: int
    top: int
    bars: list[Bar]
    lines: list[Line]


def bars(points: list[Point]) -> Chart:
    """A chart of the points in their order. Values are not negative; all zero draws an empty grid."""
    tallest = nice_ceiling(max((point.value for point in points), default=0))
    plot = HEIGHT - TOP - BOTTOM
    column = (WIDTH - LEFT - RIGHT) / max(1, len(points))
    every = -(-len(points) // MOST_LABELS) or 1
    drawn = []
    for place, point in enumerate(points):
        height = plot * point.value / tallest if tallest else 0.0
        height = max(height, FEWEST_PIXELS) if point.value else 0.0
        width = min(44.0, column * 0.72)
        start = LEFT + place * column
        drawn.append(
            Bar(
                x=round(start + (column - width) / 2, 2),
                y=round(HEIGHT - BOTTOM - height, 2),
                width=round(width, 2),
                height=round(height, 2),
                column_x=round(start, 2),
                column_width=round(column, 2),
                middle=round(start + column / 2, 2),
                label="" if place % every else point.label,
                words=point.words,
            )
        )
    parts = (0, 1, 2, 3, 4) if tallest else (0,)
    lines = [Line(round(HEIGHT - BOTTOM - plot * part / 4, 2), tallest * part // 4) for part in parts]
    return Chart(WIDTH, HEIGHT, LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, plot, TOP, drawn, lines)


def nice_ceiling(value: int) -> int:
    """The next 1, 2, 5 × 10ⁿ that is not below the value, at least 4 so that quarters are whole: 37 → 50."""
    if value <= 0:
        return 0
    power: int = 10 ** (len(str(value)) - 1)
    return max(4, next(step * power for step in STEPS if step * power >= value))

"""A page of HTML with everything inside: it opens anywhere, offline."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2

from perennial.report.charts import COLOURS, loss_chart
from perennial.report.story import Story


@dataclass(frozen=True)
class Table:
    """A table under a heading."""

    heading: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart under a heading."""

    heading: str
    png: bytes


def render(
    story: Story,
    tables: Sequence[Table],
    facts: Sequence[tuple[str, str]],
    figures: Sequence[Figure] = (),
) -> str:
    """Write the page.

    Args:
        facts: short statements, each a figure and what it counts, shown in a row at the top.
    """
    return _template("report.html").render(
        story=story,
        tables=tables,
        facts=facts,
        colours=COLOURS,
        chart=base64.b64encode(loss_chart(story)).decode(),
        figures=_shown(figures),
    )


def render_plain(
    title: str, lead: str, tables: Sequence[Table], facts: Sequence[tuple[str, str]]
) -> str:
    """Write a page of facts and tables, without a picture."""
    return _template("plain.html").render(
        title=title, lead=lead, tables=tables, facts=facts, colours=COLOURS
    )


def render_picture(
    title: str,
    lead: str,
    picture: bytes,
    alt: str,
    tables: Sequence[Table],
    facts: Sequence[tuple[str, str]],
    figures: Sequence[Figure] = (),
) -> str:
    """Write a page around one picture (PNG); ``alt`` says what it shows."""
    return _template("picture.html").render(
        title=title,
        lead=lead,
        chart=base64.b64encode(picture).decode(),
        alt=alt,
        tables=tables,
        facts=facts,
        colours=COLOURS,
        figures=_shown(figures),
    )


def _shown(figures: Sequence[Figure]) -> list[tuple[str, str]]:
    return [(figure.heading, base64.b64encode(figure.png).decode()) for figure in figures]


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("perennial.report"), autoescape=True, trim_blocks=True
    )
    return environment.get_template(name)

"""``--lang``: the language of the pages that a verb writes."""

from __future__ import annotations

from typing import Annotated

import typer


def _chosen(language: str | None) -> str | None:
    from tunesmith.pages.words import choose

    return choose(language)


Lang = Annotated[
    str | None,
    typer.Option(
        "--lang", callback=_chosen, help="Language of the pages: en or zh. Default: that of LANG.", metavar="LANG"
    ),
]
"""Said once a verb: it holds for every page that the process writes."""

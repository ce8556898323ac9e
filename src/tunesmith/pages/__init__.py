"""What all pages share: the style, the plots, and how a page is made of a template.

templates("tunesmith.evals").get_template("report.html").render(...)     the templates in that package's ``page``
"""

from __future__ import annotations

from functools import cache

import jinja2


@cache
def templates(package: str) -> jinja2.Environment:
    """The page templates of a package; ``style.jinja`` is there for all of them."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package, "page"), jinja2.PackageLoader("tunesmith.pages", ".")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

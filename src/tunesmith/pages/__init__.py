"""What all pages share: the style, the plots, and how a page is made of a template.

templates("tunesmith.evals").get_template("report.html").render(...)     the templates in that package's ``page``
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache

import jinja2
from markupsafe import Markup


@cache
def templates(package: str) -> jinja2.Environment:
    """The page templates of a package; ``style.jinja`` is there for all of them."""
    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package, "page"), jinja2.PackageLoader("tunesmith.pages", ".")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["policy"] = policy
    found.globals["code"] = code
    found.globals["bold"] = bold
    return found


def code(text: str) -> Markup:
    """A name of a file as it stands."""
    return Markup("<code>{}</code>").format(text)


def bold(text: str) -> Markup:
    """A name that stands out."""
    return Markup("<b>{}</b>").format(text)


def policy(script: str = "") -> Markup:
    """What a browser may do with a page: nothing is loaded or sent, and no script runs but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"'sha256-{digest}'" if script else "'none'"
    rules = f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; "
    rules += "base-uri 'none'; form-action 'none'"
    # Capitals are the same to a browser; so a page that holds "http" anywhere holds an address.
    return Markup(f'<meta HTTP-EQUIV="Content-Security-Policy" content="{rules}">')

"""The frame of every page: one HTML file with its style, scripts and policy."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from string import Template

from mutransfer import __version__
from mutransfer.report.format import escape
from mutransfer.report.page.charts import Charts
from mutransfer.report.page.elements import asset
from mutransfer.report.theme import css_variables

EXPORT = "window.vegaEmbed = vegaEmbed;"  # what the page's script needs of the bundle


def document(
    title: str,
    headline: str,
    sections: list[str],
    charts: Charts,
    *,
    note: str = "",
    num_widths: int = 1,
    num_steps: int = 0,
) -> str:
    """Return a whole page.

    Args:
        title: Its heading, as text.
        headline: The sentence under it, as HTML.
        sections: Its sections, as HTML.
        charts: The charts in them.
        note: A paragraph under the headline, as HTML.
        num_widths: Number of colours of widths.
        num_steps: Number of colours of steps.
    """
    bundle, script = _bundle(), asset("page.js")
    return Template(asset("page.html")).substitute(
        policy=policy(bundle, script),
        title=escape(title),
        style=css_variables(num_widths, num_steps) + asset("page.css"),
        headline=headline,
        changed=note,
        body="\n".join(sections),
        version=__version__,
        charts=charts.scripts(),
        bundle=bundle,
        script=script,
    )


def policy(*scripts: str) -> str:
    """Return a content-security policy that runs these scripts only and allows no connection.

    Example:
        >>> policy("")
        "default-src 'none'; script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; ..."
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _bundle() -> str:
    """Bundle Vega and its helpers, which takes two seconds once per process."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle(EXPORT)
    return bundle

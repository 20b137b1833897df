"""Finds what built pages would ask other hosts for: everything is to come from the site itself."""

import re
from pathlib import Path

__all__ = ["requests"]

ELSEWHERE = r"(?:https?:)?//[^\s\"')>]+"
# What a browser loads by itself. Links that a reader may follow (<a href>) are no requests.
HTML = re.compile(
    rf"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\s(?:src|data)\s*=\s*[\"']?({ELSEWHERE})"
    rf"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon|dns-prefetch|modulepreload))"
    rf"[^>]*?\shref\s*=\s*[\"']?({ELSEWHERE})",
    re.IGNORECASE,
)
CSS = re.compile(rf"(?:url\(|@import)\s*[\"']?({ELSEWHERE})", re.IGNORECASE)


def requests(site: Path) -> list[str]:
    """Return each address elsewhere that a page or style of a folder loads, after its file."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".css"}:
            text = path.read_text(encoding="utf-8")
            patterns = [CSS] if path.suffix == ".css" else [HTML, CSS]
            found += [
                f"{path.relative_to(site)}: {next(filter(None, one))}"
                for pattern in patterns
                for one in (match.groups() for match in pattern.finditer(text))
            ]
    return found

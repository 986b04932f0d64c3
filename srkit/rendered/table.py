"""Table of the domains with descriptions. A new domain is a file of that name beside this one, and a line here."""

from __future__ import annotations

from collections.abc import Mapping

DOMAINS: Mapping[str, str] = {
    "street": "a street at dusk",
    "sign": "signs, plates, posters and pages with words",
    "portrait": "a manga-like face",
    "manga": "manga-like pages",
    "screen": "screen text and interfaces",
    "drawing": "technical drawings and maps",
    "halftone": "halftone print",
    "textile": "woven and knitted fabric",
    "texture": "brick, tiles, wood and stone",
    "night": "night scenes with lights",
}

"""Tables that benchmarks keep up to date where users read them."""

from __future__ import annotations

from srkit.io.atomic import atomic_path
from srkit.zoo.manifest import weights_dir


def write_between_marks(name: str, script: str, table: str) -> None:
    """Put `table` between `<!-- name: tests/bench/script -->` and `<!-- end of name -->` in weights/README.md."""
    readme = weights_dir() / "README.md"
    begin, end = f"<!-- {name}: tests/bench/{script} -->", f"<!-- end of {name} -->"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if begin not in text or end not in text:
        print(f"{readme} has no marks {begin} and {end}; the table was not written there")
        return
    head, rest = text.split(begin, 1)
    tail = rest.split(end, 1)[1]
    with atomic_path(readme) as temporary:
        temporary.write_text(f"{head}{begin}\n{table}\n{end}{tail}", encoding="utf-8")

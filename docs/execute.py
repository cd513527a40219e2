"""Run the Python in a Markdown page, and put in what it prints.

    python docs/execute.py README.md docs/how-it-works.md

A block of Python is executed; all blocks of a page share one namespace. A block behind
the line `<!-- prints -->` is replaced by what was printed since the last such block. A
block that starts with ```` ```python name.py ```` is saved under that name first, which
is then the file that messages and emitted sources refer to.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

_BLOCK = re.compile(
    r"^(?P<prints><!-- prints -->\n)?"
    r"```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def executed(page: str) -> str:
    """The page with fresh output blocks."""
    namespace: dict[str, Any] = {"__name__": "page"}
    printed = io.StringIO()

    def renew(match: re.Match[str]) -> str:
        info, body = match["info"], match["body"]
        if match["prints"]:
            text = printed.getvalue().strip("\n")
            printed.seek(0)
            printed.truncate()
            return f"{match['prints']}```{info}\n{text}\n```"
        if info.split()[:1] == ["python"]:
            file = Path(folder, [*info.split(), "page.py"][1])
            file.write_text(body)
            code = compile(body, str(file), "exec")
            with contextlib.redirect_stdout(printed):
                exec(code, namespace)
        return match[0]

    with tempfile.TemporaryDirectory() as folder:
        return _BLOCK.sub(renew, page)


def main() -> None:
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(executed(path.read_text()))


if __name__ == "__main__":
    main()

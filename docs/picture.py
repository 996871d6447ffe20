"""Makes a picture of what a command prints: `python docs/picture.py NAME scripts/inv dags-status`.

The picture is `docs/NAME.svg`; its text is text, in whatever monospace font the reader has.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import rich.console
import rich.text
import sh

FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
<style>.{unique_id}-matrix {{ font: {char_height}px monospace; white-space: pre; }} {styles}</style>
<rect width="{width}" height="{height}" rx="8" fill="#292929"/>
<defs>{lines}</defs>
<g class="{unique_id}-matrix" transform="translate(8, 12)">{backgrounds}{matrix}</g>
</svg>
"""
"""Rich's own has fonts from the network, and the frame of a window."""

STYLES = {
    r"^\$ .*": "bold",
    r"\bhead\b(?=  )": "green",
    r"\bbehind\b|^differs.*": "bold red",
    r"\bdown\b(?=$)": "yellow",
    r"^equal.*": "bold green",
}
"""What catches the eye, by regular expression."""


def main() -> None:
    """Run the command, whatever its exit code, and write the picture."""
    name, program, *words = sys.argv[1:]
    printed = str(sh.Command(program)(*words, _ok_code=[*range(256)]))
    command = " ".join((program, *words)).removeprefix("scripts/")
    text = rich.text.Text(f"$ {command}\n{printed.rstrip()}")
    for pattern, style in STYLES.items():
        text.highlight_regex(re.compile(pattern, re.MULTILINE), style)
    width = max(map(len, text.plain.splitlines()))
    console = rich.console.Console(record=True, width=width, file=io.StringIO())
    console.print(text, soft_wrap=True)
    Path(__file__).with_name(f"{name}.svg").write_text(console.export_svg(title="", code_format=FORMAT))


if __name__ == "__main__":
    main()

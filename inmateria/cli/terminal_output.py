"""Words as a terminal can show them: without control characters, and in ASCII where it has nothing else."""

import codecs
import sys
import unicodedata

_IN_ASCII = {
    "±": "+/-", "×": "x", "·": ".", "–": "-", "—": "-", "−": "-", "…": "...", "µ": "u", "μ": "u", "Ω": "Ohm",
    "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "#", "█": "@", "━": "-", "╸": "-", "╺": "-",
    "•": "*", "“": '"', "”": '"', "‘": "'", "’": "'", "→": "->",
}  # fmt: skip


def plain(words: str) -> str:
    """Replace what a terminal would obey in words that come from a device."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in words)


def transliterate_what_the_terminal_lacks() -> None:
    """Let standard output and error write other characters for those that their encoding does not have."""
    codecs.register_error("inmateria.transliterate", _transliterated)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors="inmateria.transliterate")


def _transliterated(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(character: str) -> str:
    """Return a character's nearest ASCII, or a question mark."""
    if character in _IN_ASCII:
        return _IN_ASCII[character]
    nearest = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return nearest or "?"

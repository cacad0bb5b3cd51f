"""Makes foreign text fit to be shown and kept: without control characters, without secrets, and cut.

Foreign text is what a script prints or raises, what a library says, and what other people's files contain.
hasten's errors clean their messages when they are created (``errors.py``), and the command line cleans all that it
prints.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 2000
HIDDEN = "***"
_ESCAPES = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # OSC: a title, a link
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c|$)"  # strings for the device
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, the cursor
    r"|\x1b[ -/]*[0-~]?"
)
_KEPT = "\n\t"
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Categories of control and format characters (also those that turn the direction of writing), lone surrogates,
and private characters."""
_JOINERS = "\u200c\u200d"
"""Characters that some scripts cannot be written without."""
_PASSWORD = re.compile(
    r"((?:https?://[^\s:/?#'\"@]*(?=:[^\s/'\"]*@))|(?:(?!https?:)\b[A-Za-z][A-Za-z0-9+.-]*://[^\s:/?#'\"@]*))"
    r":[^\s'\"]*@"
)
"""Matches passwords in URLs. A database's password may contain a slash or an @. One of a web address may not,
because there the path may contain them."""
_USER = re.compile(r"(https?://)[^\s:/?#'\"@]+@")
_PARAMETER = re.compile(
    r"([?&;][A-Za-z0-9_.-]*(?:pass|pwd|token|secret|key|sig|credential|auth)[A-Za-z0-9_.-]*=)[^\s&;#'\"]+", re.I
)
_TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}\b")


def cleaned(text: str) -> str:
    """Returns the text without escape sequences and control characters, except line breaks and tabs."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    return "".join(c for c in text if c in _KEPT or c in _JOINERS or unicodedata.category(c) not in _UNSEEN)


def shortened(text: str, most: int = LONGEST) -> str:
    """Returns the text, cut in the middle where it is longer than ``most`` characters, followed by its length."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} […] {text[-end:]} ({len(text)} characters in all)"


def without_secrets(text: str) -> str:
    """Returns the text with ``***`` for passwords and tokens in URLs, and for tokens of the Hugging Face hub."""
    text = _PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    return _TOKEN.sub(HIDDEN, _PARAMETER.sub(rf"\1{HIDDEN}", text))


def fit(text: str, most: int = LONGEST) -> str:
    """Returns foreign text cleaned, without secrets and cut, so that it may be shown and kept."""
    return shortened(without_secrets(cleaned(text)), most)


_BAR = re.compile(r"\d+%\||\d+(/\d+|it)? ?\[\d+:\d\d")
"""Matches the progress bars of tqdm, of the hub's libraries too."""
_WARNING = re.compile(r":\d+: \w*Warning: ")
_TRACEBACK, _FATAL = "Traceback (most recent call last):", "Fatal Python error:"
SILENT = "it printed nothing"


def last_line(text: str) -> str:
    """Returns the exception of the last traceback, else the last line that is no progress bar and no warning.

    It is fit to be shown. A line that is no exception need not be the reason why a program ended, and is told so.
    """
    lines = [line for line in re.split(r"[\r\n]+", text) if cleaned(line).strip()]
    starts = [number for number, line in enumerate(lines) if _TRACEBACK in line or line.startswith(_FATAL)]
    if starts:
        found = lines[starts[-1] :]
        raised = found if found[0].startswith(_FATAL) else [line for line in found[1:] if line[0] not in " \t"]
        if raised:
            return fit(raised[0].strip())
    said = [line for number, line in enumerate(lines) if not _noise(lines, number)]
    return f"it printed last: {fit(said[-1].strip())}" if said else SILENT


def _noise(lines: list[str], number: int) -> bool:
    """A warning has a second line: the code that gave it, indented."""
    line = lines[number]
    quoted = number > 0 and line.startswith("  ") and _WARNING.search(lines[number - 1])
    return bool(_BAR.search(line) or _WARNING.search(line) or quoted)

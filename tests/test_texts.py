"""Foreign text is cleaned and cut in one place, secrets are left out there."""

from __future__ import annotations

import pytest

from hasten.errors import HastenError, InputError, MeasurementError, UnknownNameError
from hasten.measure.failures import reason_of
from hasten.texts import LONGEST, cleaned, fit, last_line, shortened, without_secrets


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("\x1b]0;title\x07said", "said"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1bP1$r0m\x1b\\said", "said"),
        ("\x1b[2J\x1b[Hsaid", "said"),
        ("a\rb\x08c\x00d\x7fe", "abcde"),
        ("one\r\ntwo\n\tthree", "one\ntwo\n\tthree"),
        ("\u202eabc\u2066\u200b", "abc"),
        ("half \ud800 of one", "half  of one"),
        ("\x1b[1;31", ""),
        ("完成 ü é 👍 می‌خواهم", "完成 ü é 👍 می‌خواهم"),
    ],
)
def test_no_control_character_is_left(raw: str, clean: str) -> None:
    assert cleaned(raw) == clean


def test_a_long_text_is_cut_in_its_middle() -> None:
    text = "begin" + "x" * 100_000 + "end"
    found = shortened(text, 200)
    assert found.startswith("beginx") and "xend (100008 characters in all)" in found and len(found) < 250
    assert shortened("short", 200) == "short"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("postgresql://me:geheim@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg2://me:a%40b@h:5432/db?x=1", "postgresql+psycopg2://me:***@h:5432/db?x=1"),
        ("mysql://me:p@ss/word@host/db", "mysql://me:***@host/db"),
        ("'redis://:geheim@host/0', then more", "'redis://:***@host/0', then more"),
        ("https://geheim123@github.com/x", "https://***@github.com/x"),
        (
            "postgresql://me@host/db?password=geheim&sslmode=require",
            "postgresql://me@host/db?password=***&sslmode=require",
        ),
        (
            "https://h/x?X-Amz-Signature=geheim&access_token=geheim",
            "https://h/x?X-Amz-Signature=***&access_token=***",
        ),
        ("token hf_abcdefghijklmnopqrstuvwx was refused", "token *** was refused"),
        ("sqlite:////home/me/trials.db", "sqlite:////home/me/trials.db"),
        ("at 10:30, see http://host:8080/a@b", "at 10:30, see http://host:8080/a@b"),
    ],
)
def test_secrets_are_left_out(text: str, without: str) -> None:
    assert without_secrets(text) == without


@pytest.mark.parametrize("kind", [HastenError, InputError, MeasurementError])
def test_every_error_is_fit_to_be_shown(kind: type[HastenError]) -> None:
    error = kind("broken: \x1b]0;owned\x07" + "x" * 100_000 + " at postgresql://me:geheim@host/db")
    assert len(str(error)) < LONGEST + 100
    assert "\x1b" not in str(error) and "owned" not in str(error) and "geheim" not in str(error)


def test_an_unknown_name_is_no_way_to_the_terminal() -> None:
    assert "\x1b" not in str(UnknownNameError("model", "\x1b]0;owned\x07", ["a"]))


def test_a_reason_is_fit_to_be_kept() -> None:
    reason = reason_of(ValueError("\x1b[31mred\x1b[0m " + "x" * 100_000))
    assert reason.startswith("ValueError: red x") and len(reason) < LONGEST + 100


BARS = "\rLoading:  50%|###   | 3/6 [00:01<00:01, 2.1it/s]\rLoading: 100%|######| 6/6 [00:02<00:00]\n"
NOTICE = "/lib/torch/x.py:12: FutureWarning: `a` is deprecated\n  warnings.warn(\n"
RAISED = 'Traceback (most recent call last):\n  File "s.py", line 1, in <module>\n    f()\n'


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"{RAISED}ValueError: \x1b[1mno\x1b[0m\n\n \n", "ValueError: no"),
        (f"{RAISED}ValueError: no\n{NOTICE}{BARS}", "ValueError: no"),
        (f"{RAISED}OSError: no\nwith a second line\n", "OSError: no"),
        ("Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n  File", None),
        (f"one\ntwo\n{NOTICE}{BARS}3it [00:01, 2.9it/s]", "it printed last: two"),
        ("one\r\ntwo\r\n", "it printed last: two"),
        (f"{NOTICE}{BARS}", "it printed nothing"),
        ("\n", "it printed nothing"),
    ],
)
def test_the_reason_in_what_a_process_printed(said: str, reason: str | None) -> None:
    assert last_line(said) == (reason or "Fatal Python error: Segmentation fault")


def test_what_is_fit_stays_as_it_is() -> None:
    assert fit("plain") == "plain"

"""Patterns for the choice of methods (any, none, all but some, one or the other) and for their parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

from hasten.language import _words as w
from hasten.language._forms import Form, Said, forms, told
from hasten.language._names import parameter_owners
from hasten.language._numbers import FIGURES, STEP_LIST, read
from hasten.language._text import Text
from hasten.methods import METHODS

_GLUE = rf"(?: ?{w.GLUE}){{0,4}}"
_JOINED = r"(?:,? ?(?:and|or|nor|&|,|/|和|与|及|、|或者?)? ?)"
_METHODS = rf"\x03++(?:{_JOINED}\x03++){{0,20}}+"
"""Matches a list of methods. It is possessive: each comma can be read in two ways, so that trying shorter lists
after a failure would take 2^n attempts for n commas."""
_NOT = w.either(
    r"(?:but |and |though )?(?:(?:not|without|w/o|except(?: for)?|excluding|other than|no|never|besides"
    r"|apart from|aside from|minus"
    r"|avoid(?:ing)?|skip(?:ping)?|leav(?:e|ing) out|disabl(?:e|ing)|exclud(?:e|ing)"
    r"|(?:do not|don't|dont|must not|should not|shall not|may not|cannot|can't|won't|never) (?:want|like|have))"
    r"|(?:do not|don't|dont|must not|should not|shall not|may not|cannot|can't|not|never|without|no"
    r"|avoid|neither))"
    r"(?: (?:to|use|using|be|apply|applying|rely on|relying on|include|including|touch|any|the|method|of"
    r"|want))*|(?:anything|everything|whatever|all|any(?: of them)?)(?: else)? "
    r"(?:but|except(?: for)?|other than|besides|apart from|excluding)",
    r"(?:但是?|且|并且|，)?(?:请)?(?:不(?:要|能|想|可以|可|得|许|准|允许)?(?:再)?(?:使|采|应|启)?用|别用"
    r"|勿用|禁用|禁止(?:使用)?|避免(?:使用)?"
    r"|排除|不包括|不包含|不含|不加|去掉|除了?|不想用|不开)(?:任何)?",
)
_OTHERS = r"(?:[,，]? ?(?:其他|其它|别的|其余)的?(?:方法)?)?(?:[,，]? ?(?:都|均)(?:可以?|行|能用|可用|能))?"
_EXCLUDED = (
    rf"{w.ANY_METHOD},? but {_METHODS}",
    rf"{_NOT} ?{_METHODS}(?: ?(?:以外|之外|外|除外))?(?:的)?{_OTHERS}(?: ?(?:at all|method|methods){w.END})?",
    rf"{_METHODS} ?除外",
    rf"{_METHODS} (?:is|are)? ?(?:excluded|forbidden|not allowed|off limits){w.END}",
)
_ONE_OF = w.either(
    r"(?:just |only |any |either )?one of(?: the following)?|either of"
    r"|whichever(?: one| of them| method)?(?: (?:is|gets|runs|turns out|comes out|gives))?(?: the)? "
    r"(?:faster|fastest|quicker|better|best)",
    "任选其一|二选一|其中之一|其中一个|任选一个|任一",
)
_SAME_STEPS = w.either(
    r"(?:without|not|don't|do not|never)(?: (?:reduc|chang|lower|cutt|cut|touch|decreas)(?:e|ing)?)? "
    r"(?:the |my )?(?:number of )?steps"
    r"|(?:with|keep(?:ing)?)(?: the)? same (?:number of )?steps"
    r"|keep(?:ing)? (?:the |my |all )?(?:number of )?steps",
    r"(?:不(?:要|能)?(?:减少|改变|改|动|降低))(?:采样)?步数|步数不变|保持(?:采样)?步数",
)
_EXACTLY = rf"(?:exactly|precisely)(?= ?\d+ ?(?:[a-z+-]+ ){{0,2}}{w.STEPS})|(?:恰好|正好|刚好)(?= ?\d+ ?步)"
_SAME_SCHEDULER = w.either(
    r"keep(?:ing)? (?:the |my )?(?:same )?(?:scheduler|sampler|solver)"
    r"|with the same (?:scheduler|sampler|solver)"
    r"|(?:without|not|don't|do not|never) (?:chang|swapp?|replac|touch)(?:e|ing)? (?:the |my )?"
    r"(?:scheduler|sampler|solver)",
    r"(?:不(?:要|能)?(?:更?换|改变|改|动))(?:采样器|调度器|求解器)|(?:保持|保留)(?:采样器|调度器|求解器)(?:不变)?"
    r"|(?:采样器|调度器|求解器)不变",
)
_ONLY = w.either(
    r"(?:using |with )?(?:only|just|nothing but|solely|exclusively)", "只用|仅用|只使用|仅使用|只能用|只"
)


def _skipped(said: bool, written: str) -> str:
    return f"skipped {written!r}: how much is asked for is said nowhere in it"


FORMS = (
    *forms("excluded", told, _EXCLUDED, needs=("\3",)),
    *forms("keep steps", told, (_SAME_STEPS, _EXACTLY)),
    *forms("keep scheduler", told, (_SAME_SCHEDULER,)),
    *forms("one of", told, (_ONE_OF,)),
    *forms("only", told, (rf"{_ONLY}(?= ?\x03)",), needs=("\3",)),
    *forms("any method", told, (w.ANY_METHOD,)),
    *forms("unaccelerated", told, (w.NO_METHOD,)),
    *forms("accelerated", told, (w.ACCELERATION,)),
    *forms(
        "accelerated", told, (r"(?:看看?)?(?:它|到底|最多)?能(?:快|加速|提速)(?:多少|到什么程度)",), note=_skipped
    ),
)

_SHORT = {
    "interval": "interval|缓存间隔|间隔|every|每",
    "branch": "branch(?:[ _]id)?|分支",
    "ratio": "(?:token )?merg(?:e|ing)[ _]ratio|合并(?:比例|比率|率)|比例|比率",
    "gate": "gate|门控(?:步|步数)?|门步",
    "warm": "warm[- _]?up(?: steps?)?|预热(?:步数?)?",
    "threshold": "阈值",
    "downsample": "(?:max )?downsampl(?:e|ing)|下采样",
    "cutoff": "cut-?off(?: at)?(?: step)?",
    "reduced": "reduced to",
    "order": "(?:taylor )?order|阶数",
}
"""Short names that people use for a parameter when its method is clear, by a word of the parameter's full name."""


@dataclass(frozen=True)
class Given:
    """A parameter that the request gives: its full or short name, the value as said, and its position."""

    name: str
    value: Decimal | str
    position: int
    written: str = ""


@lru_cache
def parameter_forms() -> tuple[Form, ...]:
    """Returns the forms that name parameters. They are built on first use, since they hold all methods' names."""
    spelled = sorted((name.replace("_", "[ _-]?") for name in parameter_owners()), key=len, reverse=True)
    value = rf"(?:(?P<word>{_named_values()})|{STEP_LIST}|{FIGURES}(?P<percent>{w.PERCENT})?)"
    full = rf"{w.START}(?P<name>{'|'.join(spelled)}){_GLUE} ?{value}{w.END}"
    figure = rf"{FIGURES}(?P<percent>{w.PERCENT})?{w.END}"
    shorts = [
        rf"(?:{w.START}|(?<=[\u4e00-\u9fff]))(?P<{word}>{said}){_GLUE} ?{figure}(?! ?{w.TIMES}|{w.UNIT})"
        rf"(?: ?{w.STEPS})?"
        for word, said in _SHORT.items()
    ]
    return (*forms("parameter", _full, (full,)), *forms("short", _short, shorts))


def _full(match: Said) -> Given:
    spoken = re.sub("[ _-]", "", match["name"])
    name = next(name for name in parameter_owners() if name.replace("_", "") == spoken)
    said = match.get("word") or match.get("steps") or _figure(match)
    return Given(name, said, match.span()[0], written=match.written())


def _short(match: Said) -> Given:
    word = next(name for name in match.groups() if name in _SHORT)
    return Given(word, _figure(match), match.span()[0], written=match.written())


def _figure(match: Said) -> Decimal:
    return read(match["number"]) / (100 if match.get("percent") else 1)


def meant(short: str, methods: tuple[str, ...]) -> list[str]:
    """Returns the parameters of these methods that a short name may mean."""
    known = [p.name for method in methods for p in METHODS.get(method).parameters()]
    return [name for name in dict.fromkeys(known) if f"_{short}_" in f"_{name}_"]


def _named_values() -> str:
    """Returns a pattern that matches all names that are values of parameters."""
    known = {str(v) for m in METHODS.all() for p in m.parameters() if p.kind is str for v in p.allowed or ()}
    return "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True)) or "(?!)"


AND = re.compile(r"(?<![a-z])(?:and|plus)(?![a-z])|[+&和与及]")
_BETWEEN = re.compile(
    r"(?<=\x03)[\0 ,，、()（）\[\]'\"*]*(?P<or>(?<![a-z])or(?: else| just)?(?![a-z])|或者?"
    r"|还是)[ \0,，(（\[\]'\"]*(?=\x03)"
)
_EITHER = re.compile(r"(?<![a-z])(?P<or>either)(?![a-z])(?: of)?(?=[ (\[]*(?:use |using |by |with )?\x03)")


BUT = re.compile(
    r"(?<![a-z])(?:but|yet|though|although|however|while)(?![a-z])"
    r"(?=,? ?(?:\0|(?:with|using|use|only|just) [\0\3]))"
    r"|(?:但是?|不过|然而)(?=，?\0)"
)
"""Matches words that only join the next clause to the text, where that clause was understood by itself."""


def take_alternatives(text: Text) -> bool:
    """Claims the words between methods that say one or the other, and returns whether there were any."""
    found = False
    while match := _BETWEEN.search(text.view):
        _claim_word(text, match)
        found = True
    while found and (match := _EITHER.search(text.view)):
        _claim_word(text, match)
    return found


def _claim_word(text: Text, match: re.Match[str]) -> None:
    start, end = match.span("or")
    text.view = text.view[:start] + "\0" * (end - start) + text.view[end:]


def joined(text: Text, spans: list[tuple[int, int]]) -> Iterator[str]:
    """Yields the text between neighbouring methods, as it was written."""
    for (_, end), (start, _) in pairwise(spans):
        yield text.plain[end:start]

"""Patterns of what hasten does not read in a sentence, each with the way to ask for it."""

from __future__ import annotations

from collections.abc import Callable

from hasten.errors import RequestError
from hasten.language import _words as w
from hasten.language._forms import Said, forms
from hasten.language._numbers import NUMBER, PERCENTAGE

_GLUE = rf"(?: ?{w.GLUE}){{0,4}}"
_COUNT = rf"(?:{_GLUE} ?{w.AT_MOST})?{_GLUE} ?{NUMBER}{w.END}"
_HOURS = rf"(?:(?:h|hrs?|hours?){w.END}|个?小时)"
_DURATION = rf"{NUMBER}(?:{w.UNIT}| ?{_HOURS})"
_SPEED = w.either("(?:the |its )?(?:(?:generation|inference|sampling) )?(?:speed|throughput)", "速度")
_SEARCH = w.either(
    "(?:the )?search(?:es|ing)?|tun(?:e|es|ing)|(?:time|search) budget|try(?:ing)?", "搜索|寻找|调优|时间预算"
)

_SEED = (rf"(?:{w.START}(?:with |the |a |random |fixed )*seeds?|(?:随机)?种子){_GLUE} ?{NUMBER}{w.END}",)
_TRIALS = (
    rf"(?:{w.AT_MOST} ?)?{NUMBER} ?(?:{w.START}(?:search )?trials?{w.END}|次(?:试验|尝试|搜索))(?: ?{w.OR_LESS})?",
    rf"(?:{w.START}(?:max(?:imum)? )?trials?|试验次数){_COUNT}",
)
_SEARCH_TIME = (
    rf"{_SEARCH}(?: ?(?:{w.START}(?:for|in|of|takes?|time|run|up){w.END}|时间|时长))*"
    rf"(?:{_GLUE} ?{w.AT_MOST})?{_GLUE} ?{_DURATION}(?!{w.PER_IMAGE})",
    rf"(?:{w.START}(?:in|for) |{w.AT_MOST} ?)?{NUMBER} ?{_HOURS}(?: ?{w.OR_LESS})?",
)
_SAMPLES = (rf"{NUMBER} ?(?:{w.START}(?:samples?|prompts?){w.END}|个?(?:样本|提示词))",)
_SLOWER = (
    rf"(?:{w.AT_MOST} ?)?{NUMBER}(?:{w.TIMES}|{w.PERCENT}) ?slower{w.END}",
    rf"{w.START}slow(?:s|ed|ing)?(?: (?:it|this|the|pipeline|model|\x01++))* ?down(?: by)?"
    rf"(?: ?{NUMBER}(?:{w.TIMES}|{w.PERCENT}))?",
    rf"(?:变?慢|减速) ?{NUMBER}(?:{w.TIMES}|{w.PERCENT})",
    rf"{PERCENTAGE} ?{_SPEED} (?:reduction|drop|decrease|loss|cut){w.END}",
    rf"{PERCENTAGE} (?:reduction|drop|decrease|cut) (?:in|of) ?{_SPEED}",
    rf"(?:{w.START}(?:reduc|decreas|lower|cut|drop)(?:e|es|ing|ting|ping)? |降低|减少)"
    rf"{_SPEED}(?: by|了)? ?{PERCENTAGE}",
    rf"{_SPEED} ?(?:下降|降低|减少) ?{PERCENTAGE}",
)
_KINDS = (
    rf"(?:{w.START}(?:without|no|only|not|any|avoid|don't use|do not use)(?: (?:any|using|use))* )"
    r"(?:cach(?:e|ing)|compil(?:e|ation|ing)|pruning|quanti[sz](?:ation|ing)|distillation|attention|token|lossy"
    rf"|lossless|exact|approximate)(?:[- ]based)? (?:methods?|techniques?|approach(?:es)?|tricks?){w.END}",
    r"(?:不要?用?|不使用|只用|别用)(?:任何)?(?:缓存|编译|量化|剪枝|蒸馏)(?:类)?的?(?:方法|技术|手段)",
)


def _flag(flag: str, what: str) -> Callable[[Said], None]:
    def refuse(match: Said) -> None:
        said = match.written()
        raise RequestError(f"{said!r} is no part of the sentence: {what} is the flag {flag}.", [said])

    return refuse


def _slower(match: Said) -> None:
    said = match.written()
    raise RequestError(
        f"{said!r} asks for less speed: hasten makes pipelines faster. Ask for more, as in '1.5x'.", [said]
    )


def _kind(match: Said) -> None:
    said = match.written()
    raise RequestError(
        f"{said!r} names a kind of methods: hasten knows methods by name, as in 'without DeepCache and "
        "TaylorSeer' ('hasten list methods').",
        [said],
    )


FORMS = (
    *forms("refused", _flag("--seed", "the seed"), _SEED, needs=("seed", "种子")),
    *forms("refused", _flag("--max-trials", "the number of trials"), _TRIALS, needs=("trial", "次")),
    *forms("refused", _flag("--max-time", "the time of the search"), _SEARCH_TIME),
    *forms(
        "refused",
        _flag("--num-samples", "the number of prompts"),
        _SAMPLES,
        needs=("sample", "prompt", "样本", "提示"),
    ),
    *forms("refused", _slower, _SLOWER),
    *forms("refused", _kind, _KINDS),
)

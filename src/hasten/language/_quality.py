"""Patterns for the allowed loss: limits of metrics as losses or scores, no loss, or words without a figure."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from hasten.errors import RequestError, simplify
from hasten.language import _words as w
from hasten.language._forms import Form, Said, forms, told
from hasten.language._names import metrics
from hasten.language._numbers import FIGURES, PERCENTAGE, SHARE, Range, percentage, share
from hasten.metrics import METRICS
from hasten.task import DEFAULT_MAX_LOSS

DEFAULT_METRIC = next(iter(DEFAULT_MAX_LOSS))
STRICTEST = 0.001
"""The limit of a lossless request that names inexact methods: the smallest loss that 32 images can tell from 0."""

_GLUE = rf"(?: ?{w.GLUE}){{0,4}}"
_MAY = (
    rf"(?:{w.START}(?:may|can|could|should|must|shall|will|to|is allowed to|is|be|are|has|have|only"
    rf"|at worst|still){w.END} ?"
    rf"|可以|可|能|应该?|需要?|必须|要){{0,4}}"
)
_FALL = w.either(
    r"drop(?:s|ped|ping)?|fall(?:s|ing)?|los(?:e|es|ing|t)|degrad(?:e|es|ed|ing)|declin(?:e|es|ed|ing)"
    r"|decreas(?:e|es|ed|ing)|suffer(?:s|ing)?|worsen(?:s|ing)?",
    "下降|降低|损失|变差|下滑",
)
_ALLOW = w.either(
    r"allow(?:s|ed|ing)?|accept(?:s|ed|ing)?|tolerat(?:e|es|ed|ing)|permit(?:s|ted|ting)?|(?:i am "
    r"|i'm )?(?:ok|okay|fine) with",
    "允许|容许|可以?接受|容忍|接受",
)
_LESS = rf"(?: ?{w.OR_LESS})?"
_KEEP = w.either(
    r"keep(?:s|ing)?|retain(?:s|ing)?|preserv(?:e|es|ing)|maintain(?:s|ing)?|with|having", "保留|保持|维持|保证"
)
_STAY = (
    rf"(?: ?(?:{w.START}(?:scores?|must|should|shall|has to|may not|can|stay(?:s|ing)?|be|remain(?:s|ing)?"
    rf"|keep|kept|is"
    rf"|index|value|similarity|of|at|not|fall|drop|go|the|an?){w.END}|得分|分数|值|要|需|应|必须|保持|维持"
    rf"|不能|在)){{0,6}}"
)
_ABOVE = w.either(
    r"above|over|at (?:the )?least|(?:not |no )?(?:below|under|lower than|less than|worse than)|exceeding|exceed"
    r"|(?:more|greater|higher|better) than|min(?:imum)?",
    r"至少|不(?:得|能|要)?(?:低于|小于|少于)|大于等于|大于|高于|超过|>=?|≥|≧",
)
_NOTICEABLE = (
    "visibl[ey]|noticeabl[ey]|obvious(?:ly)?|significant(?:ly)?|much|too much|major|perceptibl[ey]|big"
    "|large|serious"
    "|a lot of|lots of|substantial(?:ly)?|apparent"
)

_NEARLY = "visually|perceptually|almost|nearly|virtually|practically|basically"

_NO = r"(?:without|with no|no|w/o|zero|not|don't|do not|never|avoid|avoiding)"
_WHAT = r"(?: (?:the|any|my|its|image|images|output|visual|perceptual|picture))*"
_QUALITY_WORD = r"(?:quality|precision|accuracy|fidelity|details?|outputs?|results?|images?|pictures?)"
_LOSSLESS = w.either(
    rf"lossless(?:ly)?|{_NO}{_WHAT} (?:(?:quality|precision|accuracy|detail) )?"
    rf"(?:loss(?:es)?|degradation|drop)(?: (?:of|in){_WHAT} {_QUALITY_WORD})?(?: (?:at all|whatsoever))?"
    rf"|{_NO} (?:losing|lose|sacrificing|sacrifice|hurting|hurt|degrading|degrade|compromising|affecting"
    rf"|reducing|changing|change"
    rf"|dropping|harming|touching){_WHAT} {_QUALITY_WORD}(?: (?:at all|whatsoever))?"
    rf"|(?:keep(?:ing)?|preserv(?:e|ing)|maintain(?:ing)?|retain(?:ing)?|with|at)(?: (?:the|exactly|its|my"
    rf"|image))* "
    rf"(?:same|full|original|identical) (?:image )?{_QUALITY_WORD}"
    rf"|(?:keep(?:ing)?|preserv(?:e|ing)|maintain(?:ing)?|retain(?:ing)?)(?: (?:the|its|my|image))* quality"
    rf"(?: (?:intact|unchanged|the same))?|(?:the )?(?:same|identical) {_QUALITY_WORD}|bit[- ](?:exact|identical)"
    rf"|{_QUALITY_WORD} (?:must|should|has to|may) (?:not (?:change|suffer|drop|degrade|get worse)"
    rf"|stay the same|be identical)",
    r"(?:在)?(?:不|没有|无)(?:任何)?(?:损失|影响|降低|牺牲|改变|损害)(?:任何)?(?:的)?(?:画质|质量|精度"
    r"|图像质量|图片质量|效果)(?:的)?(?:前提下|情况下|条件下)?"
    r"|无损(?:地)?|(?:画质|质量|精度|效果)(?:要|必须)?(?:完全)?(?:不变|不下降|不降低|无损失?|不受影响|不能"
    r"(?:有(?:任何)?)?(?:损失|下降|降低|变差))"
    r"|(?:保持|维持)(?:原有)?(?:画质|质量|图像质量)(?:不变)?|零损失",
)
_GOOD = w.either(
    rf"{_NO}(?: (?:any|a))* (?:{_NOTICEABLE})(?: (?:image|visual))?(?: (?:quality|precision))? ?(?:loss"
    rf"(?:es)?|degradation|drops?|differences?|changes?|impact|art[ie]facts?|deterioration)"
    rf"(?: (?:of|in){_WHAT} {_QUALITY_WORD})?"
    rf"|{_NO} (?:losing|sacrificing|hurting|degrading|affecting) (?:{_NOTICEABLE}|too much)"
    rf"(?: of)?{_WHAT} {_QUALITY_WORD}"
    rf"|{_NO}(?: {_NOTICEABLE})? (?:hurting|degrading|affecting|losing|reducing){_WHAT} {_QUALITY_WORD} "
    rf"(?:{_NOTICEABLE}|too much)"
    rf"|(?:the )?{_QUALITY_WORD} (?:should|must|has to|have to)? ?(?:still )?look the same"
    rf"|(?:{_NEARLY})(?: (?:the|any|no|without|loss|of|image|quality|same|identical|lossless|unchanged))*"
    rf" (?:identical|indistinguishable|lossless|unchanged|the same|quality|loss)(?: {_QUALITY_WORD})?"
    rf"|(?:with|keep(?:ing)?|at)?(?: (?:the|a|image))* ?(?:good|high|decent|acceptable|great|reasonable) "
    rf"(?:image )?quality"
    rf"|(?:keep(?:ing)? )?(?:the )?(?:image )?(?:quality|images?)(?: (?:should|must|has to|still|be|stay"
    rf"|remain|look|looks|looking))*"
    rf" (?:good|high|decent|acceptable|great|ok|okay|fine)"
    rf"|(?:the )?(?:image )?quality (?:still |really )?(?:matters|is important|counts)(?: (?:to me|to us"
    rf"|a lot|too|as well|here))*"
    rf"|{_QUALITY_WORD} (?:should|must|may|can) ?not (?:{_NOTICEABLE} )?(?:drop|suffer|degrade|fall"
    rf"|change) (?:{_NOTICEABLE}|too much)"
    rf"|{_QUALITY_WORD} (?:should|must|may|can) ?not (?:{_NOTICEABLE}) (?:drop|suffer|degrade|fall|change)",
    r"(?:画质|质量|精度|效果|图像质量)(?:不能|不要|不可|没有|不会|不得|别)(?:有)?(?:明显|太多|太大|显著|过多"
    r"|大幅)(?:的)?(?:地)?(?:下降|损失|变差|降低|影响|差别)(?:太多)?"
    r"|(?:没有|不|无)(?:明显|显著)(?:的)?(?:损失|降低|影响|牺牲)?(?:画质|质量|精度)?(?:损失|下降|变化)?"
    r"|(?:画质|质量|精度|效果)(?:不能|不要|别)(?:下降|损失|降低)太多|(?:保证|确保)(?:图像)?(?:画质|质量)"
    r"|(?:画质|质量)(?:要|还?可以|过得去|要好)"
    "|(?:画质|质量|精度|效果)(?:基本|大致|几乎)上?(?:不变|一样|无损|不下降|不损失|没有?变化)",
)
_ANY_QUALITY = w.either(
    rf"(?:the )?(?:image )?{_QUALITY_WORD} (?:does not|doesn't|do not|don't|need not) matter|ignor(?:e"
    rf"|ing)(?: the)?(?: image)? {_QUALITY_WORD}"
    rf"|(?:regardless of|never mind|no matter|whatever)(?: the)?(?: image)? {_QUALITY_WORD}|at (?:any|all) costs?"
    rf"|(?:i|we) (?:do not|don't) care about(?: the)?(?: image)? {_QUALITY_WORD}",
    "(?:不(?:考虑|管|在乎|在意|关心))(?:图像|图片)?(?:质量|画质|精度|损失)|(?:质量|画质|精度)(?:无所谓"
    "|不重要)|不惜代价",
)


@lru_cache
def quality_forms() -> tuple[Form, ...]:
    """Returns all forms of this module. They are built on first use, because they hold the metrics' names."""
    metric = rf"(?:(?P<metric>{metrics().pattern.pattern})(?:'s)?(?: ?(?:scores?|得分|分数))? ?)"
    noun = rf"(?:{w.QUALITY} ?){{0,3}}{metric}?(?:{w.QUALITY} ?){{0,3}}{w.LOSS}"
    figure = rf"{SHARE}(?! ?{w.UNIT_WORD}|{w.TIMES})"
    in_words = rf"{PERCENTAGE}(?! ?{w.UNIT_WORD}|{w.TIMES})"
    of_quality = rf"(?: (?:of |in )?(?:the )?{metric}?(?:{w.QUALITY})?)?"
    on_metric = rf"(?:on|in|by|under|(?:as )?measured (?:by|with|in|on)) (?:the )?{metric}"
    in_quality = rf"(?: (?:of|in) (?:the )?{w.QUALITY})?"
    at_most = rf"(?:{_GLUE} ?{w.AT_MOST}){{0,3}}"
    after = rf"{_LESS} ?(?:的|{w.START}(?:of|in) )?"
    losses = [
        rf"(?:{_ALLOW} ?)?{noun}(?: ?{_MAY}{_ALLOW})?{at_most}(?:{_GLUE}| by) ?{value}{_LESS}"
        for value in (figure, in_words)
    ]
    losses += [
        rf"(?:{_ALLOW} ?)?(?:{w.AT_MOST} ?)?(?:{w.START}an? )?{value}{after}{noun}{in_quality}{_LESS}"
        rf"(?: ?{_ALLOW})?"
        for value in (figure, in_words)
    ]
    losses += [
        rf"(?:{w.QUALITY} )?{w.NOT_MORE} {figure}{of_quality}",
        rf"{w.LOSE} ?(?:{w.AT_MOST} ?)?{figure}{_LESS}{of_quality}",
        rf"(?:{w.AT_MOST} ?)?(?:允许|可以?|能)?{w.LOSE}了? ?(?:{w.AT_MOST} ?)?{figure}{_LESS}"
        rf" ?的? ?(?:{metric}|{w.QUALITY})",
        rf"(?:{_ALLOW} ?)?(?:{w.QUALITY} ?){{0,3}}{w.LOSS}{at_most}{_GLUE} ?{figure}{_LESS} {on_metric}",
        rf"(?:{_ALLOW} ?)?(?:{w.AT_MOST} ?)?{figure}{after}(?:{w.QUALITY} ?){{0,3}}{w.LOSS}{_LESS} {on_metric}",
        rf"{w.START}(?:no|without(?: an?| any)?) {noun} (?:of )?"
        r"(?:(?:greater|more|larger|higher|worse) than|over|above|beyond) ?"
        rf"{figure}",
        rf"(?:{_ALLOW} ?)?(?:{w.QUALITY}|{metric}) ?{_MAY}(?:{_ALLOW} ?)?{_FALL}(?: by)? ?"
        rf"(?:{w.AT_MOST}){_GLUE} ?{figure}{_LESS}",
        rf"(?:{w.QUALITY}|{metric}) ?{_MAY}(?:{_ALLOW} ?)?(?:{w.AT_MOST} ?){_FALL}(?: by)? ?{figure}{_LESS}",
        rf"(?:{w.QUALITY}|{metric}) ?{_MAY}(?:{_ALLOW} ?)?{_FALL}(?: by)? ?{in_words}{_LESS}",
        rf"{_MAY}{_FALL}(?: by)? ?{w.AT_MOST} ?{in_words}{of_quality}",
    ]
    kept = (
        rf"(?:{_KEEP}(?: at least| 至少)? ?)(?:{w.AT_LEAST} ?)?{in_words}{_OR_MORE} ?(?:的|{w.START}"
        rf"(?:of )?){_OWN}(?:{w.QUALITY})",
        rf"(?:{w.AT_LEAST} ?){in_words} ?(?:的|{w.START}of )?{_OWN} ?{w.QUALITY}(?! ?{w.LOSS})",
        rf"{w.QUALITY}{_STAY} ?(?:{_ABOVE}) ?{in_words}{_OWN}",
    )
    floors = (
        rf"{metric}{_STAY} ?{_ABOVE}{_GLUE} ?{FIGURES}(?P<percent>{w.PERCENT})?"
        rf"(?: ?db{w.END})?(?! ?{w.LOSS}){_OR_MORE}",
        rf"{metric}{_STAY} ?{FIGURES}(?P<percent>{w.PERCENT})?(?: ?db{w.END})?(?: ?{w.OR_MORE})",
        rf"{w.AT_LEAST} ?(?:{w.START}an? )?{FIGURES}(?P<percent>{w.PERCENT})?(?: ?db{w.END})? {metric}",
        rf"(?:{w.START}an? )?{metric}of {FIGURES}(?P<percent>)(?: ?db{w.END})?{w.END}",
    )
    return (
        *forms("loss", _loss, losses),
        *forms("loss", _kept, kept, note=_note_of_kept),
        *forms("loss", _floor, floors, note=_note_of_floor),
        *forms("lossless", told, (_LOSSLESS,)),
        *forms("default quality", told, (_GOOD,)),
        *forms("two-sided", told, (w.TWO_SIDED,)),
        *forms("no limit", told, (w.NO_LIMIT,)),
        *forms("no limit", told, (_ANY_QUALITY,), note=_note_of_any),
    )


_OR_MORE = rf"(?: ?{w.OR_MORE})?"
_OWN = (
    rf"(?: ?(?:{w.START}(?:of|the|its|original|baseline|image){w.END}|原来的?|原始的?|原图的?|基线的?)){{0,3}} ?"
)


def _name(match: Said) -> str:
    spoken = match.groups().get("metric")
    return metrics().canonical[simplify(spoken)] if spoken else DEFAULT_METRIC


def _limit(name: str, limit: Decimal, written: str) -> tuple[str, float]:
    return name, Range(f"loss limit of {name}", "0 to 1 (0% to 100%)", 0, 1).check(limit, written)


def _loss(match: Said) -> tuple[str, float]:
    return _limit(_name(match), share(match), percentage(match))


def _kept(match: Said) -> tuple[str, float]:
    return _limit(DEFAULT_METRIC, 1 - share(match), percentage(match))


def _floor(match: Said) -> tuple[str, float]:
    """Returns the metric and the loss that a lowest score corresponds to, measured from identical images."""
    name = _name(match)
    metric = METRICS.get(name)
    if not metric.needs_references:
        raise RequestError(
            f"{match.written()!r} is a limit of the score itself: hasten limits how much {metric.title} loses "
            "against the baseline. Say it as a loss, such as 'loss below 0.02'.",
            [match.written()],
        )
    score = share(match)
    best = Decimal(str(metric.perfect))
    Range(f"least {metric.title}", f"0 to {metric.perfect:g}", 0, metric.perfect).check(
        score, match.written("number")
    )
    return name, round(float((best - score) / best), 6)


def _note_of_kept(found: tuple[str, float], written: str) -> str:
    return f"loss limit {found[1]:g}: the reading of {written!r}"


def _note_of_any(said: bool, written: str) -> str:
    return f"no loss limit: the reading of {written!r}"


def _note_of_floor(found: tuple[str, float], written: str) -> str:
    return f"loss limit {found[1]:g} of {found[0]}: the reading of {written!r}"

"""Patterns for the setting: steps, resolution, guidance, images a call, device and precision."""

from __future__ import annotations

import re
from typing import Any

from hasten.errors import InputError
from hasten.language import _words as w
from hasten.language._forms import Said, forms
from hasten.language._numbers import FIGURES, NUMBER, Range, read

STEP_COUNT = Range("number of steps", "a whole number from 1 to 1000", 1, 1000, whole=True)
_BATCH = Range("batch size", "a whole number from 1 to 1024", 1, 1024, whole=True)
_GUIDANCE = Range("guidance scale", "0 to 1000", 0, 1000)
SMALLEST, LARGEST, MULTIPLE = 16, 16_384, 8
DTYPES = {
    "float16": ("fp16", "float16", "half precision", "半精度", "f16"),
    "bfloat16": ("bf16", "bfloat16"),
    "float32": ("fp32", "float32", "full precision", "single precision", "单精度", "全精度", "f32"),
}
_GLUE = rf"(?: ?{w.GLUE}){{0,4}}"
_SIZE = r"(?<![a-z0-9_.:])(?<!\d,)(?P<{}>\d{{2,5}})(?![.,]?\d)"
_WIDTH = r"(?P<width>\d{2,5})(?!\.?\d)"
_SIZE_NOUN = w.either(
    r"(?:image |output |picture )?(?:resolution|size|dimensions?)", "分辨率|尺寸|大小|图像尺寸|图片尺寸"
)
_PIXELS = r"(?: ?(?:px|pixels?|像素))"
_RESOLUTION = (
    rf"(?:{_SIZE_NOUN}{_GLUE} ?)?{_SIZE.format('height')}{_PIXELS}? ?(?:x|×|\*|by{w.END}"
    rf"|乘) ?{_WIDTH}(?! ?[x×%]|[a-oq-z])"
    rf"(?:{_PIXELS}{w.END})?(?: ?的?{_SIZE_NOUN})?",
    rf"{_SIZE_NOUN}{_GLUE} ?{_SIZE.format('both')}{_PIXELS}?(?![a-z0-9%])",
    rf"{_SIZE.format('both')}(?:{_PIXELS}{w.END}|p{w.END})(?: ?的?{_SIZE_NOUN})?",
    rf"(?:at |in )?{_SIZE.format('both')} ?的?{_SIZE_NOUN}",
    rf"(?:{w.START}height|高度?){_GLUE} ?{_SIZE.format('height')}{_PIXELS}?(?![a-z0-9%])",
    rf"{_SIZE.format('width')}{_PIXELS}? ?wide{w.END}",
    rf"{_SIZE.format('height')}{_PIXELS}? ?(?:high|tall){w.END}",
    rf"(?:{w.START}width|宽度?){_GLUE} ?{_SIZE.format('width')}{_PIXELS}?(?![a-z0-9%])",
)
_GUIDANCES = (
    rf"(?:{w.START}(?:(?:the )?(?:classifier[- ]free )?guidance|cfg)(?:[ _-](?:scale|strength"
    rf"|value|weight))?|(?:文本|分类器)?引导(?:系数|强度|尺度|比例|权重)?){_GLUE} ?{FIGURES}{w.END}",
    rf"{FIGURES} (?:guidance|cfg)(?: scale)?{w.END}",
)
_NO_GUIDANCE = (
    rf"{w.START}(?:without|with no|no|w/o|disable|turn off)(?: the| any)? (?:classifier[- ]free )?"
    rf"(?:guidance|cfg){w.END}"
    "|(?:不用|无|关闭|不使用)(?:引导|cfg)",
)
_BATCHES = (
    rf"(?:{w.START}(?:(?:a |the )?batch(?:[ _-]?sizes?)?|bs)|批(?:量|次|处理)?(?:的)?"
    rf"(?:大小)?){_GLUE} ?{NUMBER}(?![a-z0-9_%])(?: ?{w.IMAGE})?",
    rf"{w.START}(?:in |a )?batch(?:es)? of {NUMBER}{w.END}(?: {w.IMAGE})?",
    rf"{NUMBER} ?{w.IMAGE} (?:per|a|in a|in each|in one|at a|at|each|every) (?:batch|call|once|time"
    rf"|prompt){w.END}",
    rf"(?:每批(?:次)?|一批|(?:一次|同时|每次)(?:生成|出)?) ?{NUMBER} ?[张幅个](?:图[片像]?)?",
)
_GPU = r"(?P<device>cuda(?::\d{1,3})?|cpu|mps|xpu|gpu(?:[ :#]?\d{1,3})?)"
_DEVICES = (
    rf"{w.START}(?:on|using|with|device|to|from){_GLUE} (?:the |an? |my |our )?{_GPU}{w.END}(?! ?graph)",
    rf"{w.START}device ?[=:]? ?{_GPU}{w.END}(?! ?graph)",
    rf"(?:在|用|使用|设备(?:为|是|用)?|于) ?{_GPU}{w.END}(?! ?graph|图)(?:上|来?运行|跑|推理){{0,2}}",
    rf"{w.START}{_GPU}{w.END}(?! ?graph|图| ?memory)(?:上)?",
)
_TYPES = "|".join(sorted((n for names in DTYPES.values() for n in names), key=len, reverse=True))
IN_DTYPE = re.compile(
    rf"{w.START}(?:in|at)(?: the)? (?P<dtype>{_TYPES}){w.END}(?: precision| mode| format)?"
    rf"|(?:(?:精度|数据类型|类型)(?:为|是|用|:|=)? ?|以|在)(?P<dtype2>{_TYPES}){w.END}(?:精度|格式|模式)?"
    rf"(?:下|运行|推理){{0,2}}"
    rf"|(?:用|使用)?{w.START}(?P<dtype3>{_TYPES}){w.END} ?(?:精度|precision{w.END})"
    rf"|{w.START}(?P<dtype4>fp32|float32|full precision){w.END}"
    rf"|(?:(?<=cuda )|(?<=cuda, )|(?<=gpu )|(?<=gpu, ))(?P<dtype5>{_TYPES}){w.END}"
    rf"|{w.START}(?P<dtype6>{_TYPES}){w.END}(?=,? (?:on (?:the )?)?(?:cuda|gpu){w.END}(?! ?graph))",
    re.ASCII,
)
_NO_RATE = rf"(?! ?(?:/|{w.START}(?:per|an?|each|every){w.END}|每) ?(?:{w.UNIT_WORD}|h|hours?|days?))"
_STEPS = (
    rf"{w.STEPS_NOUN}{_GLUE} ?{NUMBER}(?:[ -]?{w.STEPS})?(?![a-z0-9_])(?!{w.TIMES})",
    rf"{w.STEPS_NOUN} (?:(?:must|should|has to|have to) )?(?:stay|remain|be kept)(?: at)? {NUMBER}{w.END}",
    rf"(?:keep(?:ing)? (?:the )?(?:number of )?steps at) {NUMBER}{w.END}",
    rf"(?:keep(?:ing)? )?{NUMBER}[ -]?(?:\x02++ ?)?{w.STEPS}{_NO_RATE}(?: of \x02++)?",
)


def _steps(match: Said) -> int:
    return int(STEP_COUNT.check(read(match["number"]), match.written("number")))


def _resolution(match: Said) -> dict[str, int]:
    said = match.groups()
    both = said.get("both")
    sides = {name: int(said.get(name) or both or 0) for name in ("height", "width") if said.get(name) or both}
    for name, pixels in sides.items():
        if not SMALLEST <= pixels <= LARGEST or pixels % MULTIPLE:
            raise InputError(
                f"The {name} is {pixels}: allowed is a multiple of {MULTIPLE} from {SMALLEST} to {LARGEST} pixels."
            )
    return sides


def _note_of_size(sides: dict[str, int], written: str) -> str:
    two = len(sides) == 2 and sides["height"] != sides["width"]
    return f"height {sides['height']}, width {sides['width']}: the reading of {written!r}" if two else ""


def _guidance(match: Said) -> dict[str, float]:
    return {"guidance_scale": _GUIDANCE.check(read(match["number"]), match.written("number"))}


def _no_guidance(match: Said) -> dict[str, float]:
    return {"guidance_scale": 1.0}


def _note_of_guidance(said: dict[str, float], written: str) -> str:
    return f"guidance scale 1, which is none: the reading of {written!r}"


def _batch(match: Said) -> dict[str, int]:
    return {"batch_size": int(_BATCH.check(read(match["number"]), match.written("number")))}


def _device(match: Said) -> dict[str, str]:
    """Returns the device. A GPU whose maker is not named is taken as CUDA."""
    name = match["device"]
    number = re.sub(r"\D", "", name)
    return {"device": f"cuda:{number}" if name.startswith("gpu") and number else name.replace("gpu", "cuda")}


def dtype_named(word: str) -> str:
    """Returns the dtype that has this name, in any spelling."""
    return next(dtype for dtype, names in DTYPES.items() if word in names)


def dtype_of(match: re.Match[str]) -> dict[str, Any]:
    """Returns the dtype of a match of ``IN_DTYPE``."""
    return {"dtype": dtype_named(next(word for word in match.groups() if word))}


FORMS = (
    *forms("steps", _steps, _STEPS),
    *forms("setting", _resolution, _RESOLUTION, note=_note_of_size),
    *forms("setting", _guidance, _GUIDANCES, needs=("guidance", "cfg", "引导")),
    *forms("setting", _no_guidance, _NO_GUIDANCE, note=_note_of_guidance, needs=("guidance", "cfg", "引导")),
    *forms("setting", _batch, _BATCHES),
    *forms("setting", _device, _DEVICES, needs=("cuda", "cpu", "mps", "xpu", "gpu")),
)

"""The vocabulary: pattern fragments and filler words, English and Chinese side by side.

Fragments match the plain view of a request: lower case, single spaces. Words that turn a meaning round (not,
no, without, but, or, at least, more than …) are never fillers: where no pattern understands them, they are
reported and nothing is guessed.
"""

from __future__ import annotations

from pathlib import Path

START, END = r"(?<![a-z0-9_])", r"(?![a-z0-9_])"


def either(english: str, other: str) -> str:
    """English alternatives as whole words, or Chinese ones and symbols wherever they stand."""
    return rf"(?:{START}(?:{english}){END}|(?:{other}))"


AT_MOST = either(
    r"(?:that |which )?(?:(?:does|do|must|should|may|can|shall|will) ?(?:not|n't)|not to|not|cannot|never) exceed"
    r"|not exceeding|without exceeding|not? (?:more|greater|higher|larger|worse|longer) than|not (?:over|above)"
    r"|at (?:the )?most|(?:less|lower|smaller|fewer|shorter) than|below|under|within|up to|limited to|capped at"
    r"|max(?:imum|imal)?(?: of)?",
    r"不(?:得|能|可|要)?(?:超过|大于|高于|多于)|最多|至多|最大|小于等于|(?<!不)(?:小于|低于|少于)|控制在|限制在|<=?|≤|≦",
)
AT_LEAST = either(
    r"at (?:the )?least|not? (?:less|lower|slower|smaller) than|min(?:imum|imal)?(?: of)?|over|above|exceeding"
    r"|(?:more|greater|higher|better|faster) than",
    r"至少|最少|不(?:得|能)?(?:低于|小于|少于)|大于等于|(?<![不得能可要])(?:大于|高于|超过)|>=?|≥|≧",
)
ABOUT = either(r"about|around|approximately|roughly|some", r"大约|约|大概|~")
GLUE = either(r"of|is|be|to|at|should be|must be|set to|equal to", r"=|:|为|是|到|至|在|达到?")

FASTER = either(
    r"speed[ -]?ups?|acceleration|faster|quicker|as (?:fast|quick)|(?:the |its )?(?:original |baseline )?speed",
    r"的?(?:加速比?|提速|速度|速)|更?快",
)
SPEEDUP_NOUN = either(
    r"(?:(?:min|minimum|minimal|target) )?speed[ -]?up(?: (?:ratio|factor|target))?"
    r"|acceleration(?: (?:ratio|factor))?",
    r"加速比|加速倍[数率]|速度提升",
)
SPEEDUP_VERB = either(
    r"(?:speed|sped|speeding)(?: it| them)? up|speedup|accelerat(?:e|ed|ing)(?: it)?|faster",
    r"加速|提速|提升|提高|快",
)
TIMES = rf"(?:(?: ?[x×](?! ?\d)|[ -]?times){END}|[ -]?fold{END}| ?倍)"
THAN_BASELINE = either(
    r"(?:over|than|against|compared (?:to|with)|relative to) (?:the )?"
    r"(?:baseline|original|unaccelerated)(?: pipeline)?",
    r"基线的",
)
OR_MORE = either(r"or (?:more|faster|better|higher)", r"以上|或更快")
OR_LESS = either(r"or (?:less|lower|faster|better|below)", r"以内|之内|以下|内")
PERCENT = rf" ?(?:%|percent{END}|per cent{END})"

QUALITY = either(
    r"(?:relative |max(?:imum|imal)?\.? |the |a |an |image |mean )*(?:precision|quality|accuracy|clip)"
    r"(?:[ _]scores?)?",
    r"(?:相对|最大|图像|图片|生成)?(?:精度|质量|画质|准确率|clip ?(?:分数|得分|评分))的?",
)
LOSS = either(
    r"(?:max(?:imum|imal)?[ _])?(?:allowed )?loss(?:es)?(?: limit| bound| budget| threshold| tolerance)?"
    r"|drop|degradation|decrease|decline",
    r"损失率?(?:上限|限制)?|下降|降低|误差",
)
LOSE = either(r"los(?:e|es|ing)", r"损失")
NOT_MORE = either(
    r"(?:(?:should|must|may|can|does|do|will) not|cannot|never|without) "
    r"(?:los(?:e|ing)|drop(?:ping)?|fall|degrad(?:e|ing))"
    r"(?: by)? (?:more than|over)",
    r"(?!)",
)
TWO_SIDED = either(r"(?:in )?either (?:way|direction)|in both directions|on both sides|two[- ]sided", r"双侧|正负")
NO_LIMIT = either(
    r"(?:without|with no|no|any) (?:a |any )?(?:(?:precision|quality|accuracy) )?loss(?: limit)"
    r"|any (?:(?:precision|quality|accuracy) )?loss",
    r"不限(?:制)?(?:精度|质量|画质)?损失|(?:精度|质量|画质)?损失不限",
)

LATENCY_NOUN = either(
    r"(?:a |the )?(?:max(?:imum)? )?(?:latency|(?:generation |inference |run(?:ning)? )?time)(?: limit| target)?"
    r"(?: per image| an image)?(?: of (?:the |an? )?\0+(?: pipeline| model)?)?",
    r"延迟|时延|耗时|用时|(?:生成|推理)?时间",
)
_UNITS = {
    "ms": rf"(?:ms|msecs?|milliseconds?){END}|毫秒",
    "s": rf"(?:s|secs?|seconds?){END}|秒钟?",
    "min": rf"(?:min|mins|minutes?){END}|分钟",
}
UNIT = rf" ?(?:{'|'.join(f'(?P<{name}>{forms})' for name, forms in _UNITS.items())})"
UNIT_WORD = rf"(?:{'|'.join(_UNITS.values())})"
IMAGE = either(r"images?|imgs?|pictures?|pics?", r"图片?|图像|张图?片?|幅图?")
PER_IMAGE = rf"(?: ?(?:{START}(?:per|an?|each|every|for each|for an?){END} ?|/ ?|每|一){IMAGE})"
EACH_IMAGE = (
    rf"(?:{START}(?:each|every|per|an|one) {IMAGE}(?: (?:takes?|taking|should take|must take|in))?"
    rf"|(?:每|单)[张幅个]?{IMAGE}?)"
)

STEPS = either(
    r"(?:(?:sampling|inference|denoising|diffusion|scheduler|sampler)[ -])?(?:steps?|iterations?)",
    r"个?(?:采样|推理|去噪|扩散|迭代)?步骤?",
)
STEPS_NOUN = either(
    r"(?:the )?(?:number of |num[_ ])?(?:(?:sampling|inference|denoising|diffusion)[ _])?"
    r"(?:steps|step(?: count|(?= ?[=:])))",
    r"(?:采样|推理|去噪|扩散|迭代)?步[数骤]",
)

ANY_METHOD = either(
    r"(?:(?:any|whatever|whichever|all|every|the best)(?: available)?|(?:any|the best) combination of)"
    r"(?: acceleration| speed-?up)? (?:methods?|techniques?|means|approach(?:es)?)",
    r"(?:任意|任何|所有|全部|不限)(?:一种|种)?的?(?:加速)?(?:方法|手段|方式|技术)(?:的?组合)?|(?:加速)?方法不限",
)
FASTEST = either(
    r"as (?:fast|quick(?:ly)?|much) as (?:possible|it can be|you can)|(?:the )?fastest(?: possible)?"
    r"|(?:the )?(?:max(?:imum|imal)?|highest|best|greatest)(?: possible)? (?:speed[ -]?up|acceleration|speed)"
    r"|upper[ -]bound(?: (?:of|on))?(?: the)?(?: speed[ -]?up)?",
    r"尽可能地?快|尽量快|越快越好|最快|最大(?:的)?(?:加速比?|提速)|最高(?:的)?加速比?|加速上限",
)
NO_METHOD = either(
    r"(?:without|no|with no)(?: any)? (?:acceleration|speed-?up)(?: methods?)?|unaccelerated|not accelerated",
    r"(?:不|无|没有|无需|不使用|不用|不做|不进行)(?:任何)?(?:加速|提速)(?:方法)?",
)
ACCELERATION = either(
    r"accelerat(?:e|es|ed|ing|ions?|or)"
    r"|(?:speed(?:ing)?|sped) (?:(?:the )?(?:it|them|\0+(?: pipeline| model)?) )?up"
    r"|speed-?ups?|speeding-up|sped-up|faster|fast|quicker|quick",
    r"加速|提速|更快|快",
)
SAMPLER_WORD = r"(?:samplers?|schedulers?|solver|采样器|采样方法|调度器)"
MODEL_WORD = r"(?:pipelines?|models?|folder|checkpoint|流水线|管线|管道|模型|目录|文件夹)"

PUNCTUATION = frozenset(",.;:!?()[]{}\"'`“”‘’「」『』《》【】、。，…·—–-/+&|*#=")
_WORDS = Path(__file__).with_name("fillers.txt").read_text(encoding="utf-8").split()
FILLERS = frozenset(word for word in _WORDS if word.isascii())
CHINESE_FILLERS = tuple(word for word in _WORDS if not word.isascii())

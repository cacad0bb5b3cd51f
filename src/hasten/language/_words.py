"""The vocabulary: pattern fragments and filler words, English and Chinese side by side.

Fragments match the plain view of a request: lower case, single spaces. Words that change a meaning (not, no,
without, but, or, at least, more than …) are never fillers: where no pattern understands them, they are reported
instead of guessed.
"""

from __future__ import annotations

from pathlib import Path

START, END = r"(?<![a-z0-9_])", r"(?![a-z0-9_])"


def either(english: str, other: str) -> str:
    """Returns a pattern of English alternatives as whole words, and of Chinese ones and symbols anywhere."""
    return rf"(?:{START}(?:{english}){END}|(?:{other}))"


AT_MOST = either(
    r"(?:that |which )?(?:(?:does|do|must|should|may|can|shall|will) ?(?:not|n't)|not to|not|cannot|never) exceed"
    r"|(?:(?:must|should|may|can|shall|will|does|do) ?not|cannot|never|not) (?:take|be|need) (?:more"
    r"|longer|slower) than"
    r"|not exceeding|without exceeding|not? (?:more|greater|higher|larger|worse|longer) than|not (?:over|above)"
    r"|at (?:the )?most|(?:less|lower|smaller|fewer|shorter) than|below|under|within|up to|limited to|capped at"
    r"|max(?:imum|imal)?(?: of)?",
    r"不(?:得|能|可|要)?(?:超过|大于|高于|多于)|最多|至多|最大|小于等于|(?<!不)(?:小于|低于|少于)|控制在|限制在"
    r"|<=?|≤|≦",
)
AT_LEAST = either(
    r"at (?:the )?least|not? (?:less|lower|slower|smaller) than|min(?:imum|imal)?(?: of)?|over|above|exceeding"
    r"|(?:more|greater|higher|better|faster) than",
    r"至少|最少|不(?:得|能)?(?:低于|小于|少于)|大于等于|(?<![不得能可要])(?:大于|高于|超过)|>=?|≥|≧",
)
THING = r"(?:image generation|generation|pipeline|model|images?|it|they|\x01++(?:'s)?)"
THINGS = (
    "it|them|this|that|the|my|our|your|its|a|an|up|down|how fast|images?|pipelines?|model|generation"
    "|inference|sampling|run|image"
    "|generate|of|for|at least"
)
CHINESE_THINGS = "的?流水线|的?模型|的|生成|推理|图像|图片|出图|运行|采样|至少|了|把|将"
ABOUT = either(r"about|around|approximately|roughly|some", r"大约|约|大概|~")
GLUE = either(
    r"of|is|be|to|at|should be|must be|set to|equal to", r"=|:|为|是|到|至|在|达到?|(?:了)?(?:原来|现在|原先)的"
)

FASTER = either(
    r"speed[ -]?ups?|acceleration|faster|quicker|as (?:fast|quick)|(?:the |its )?(?:original |baseline |current )?"
    r"(?:speed|throughput)",
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
TIMES = rf"(?:(?:[x×](?!\d)| [x×](?! ?\d)|[ -]?times){END}|[ -]?fold{END}| ?倍)"
THAN_BASELINE = either(
    r"(?:over|than|against|compared (?:to|with)|relative to|as) (?:the |it is )?"
    r"(?:baseline|original|unaccelerated|now|before|today|default)(?: pipeline| one)?",
    r"基线的?|原来的?|现在的?",
)
OR_MORE = either(r"or (?:more|faster|better|higher|above)|at least|minimum", r"以上|或更快|或以上")
OR_LESS = either(
    r"or (?:less|lower|faster|better|below|under)|max(?:imum)?|at (?:the )?most|tops", r"以内|之内|以下|内|以里"
)
PERCENT = rf" ?(?:%|(?:percent(?:age)?|per cent|pct)(?: points?)?{END}|个?百分点)"

QUALITY = either(
    r"(?:relative |max(?:imum|imal)?\.? |the |a |an |any |image |mean |visual ){0,6}"
    r"(?:precision|quality|accuracy|fidelity|clip)(?:[ _]scores?)?",
    r"(?:相对|最大|图像|图片|生成)?(?:精度|质量|画质|准确率|clip ?(?:分数|得分|评分))的?",
)
LOSS = either(
    r"(?:max(?:imum|imal)?[ _])?(?:allowed )?loss(?:es)?(?: limit| bound| budget| threshold| tolerance)?"
    r"|drops?|degradation|decrease|decline|reduction",
    r"损失率?(?:上限|限制)?|下降|降低|误差|降幅|跌幅",
)
LOSE = either(r"los(?:e|es|ing)", r"损失")
NOT_MORE = either(
    r"(?:(?:should|must|may|can|does|do|will) not|(?:don|doesn|shouldn|mustn|won|can)'?t|cannot|never|without) "
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

TIME = either(
    r"(?:(?:a|the|its|my|our|max(?:imum)?|total|average|overall|end-to-end|current|original|whole) ){0,4}"
    r"(?:latency|runtime|duration|(?:(?:image|generation|inference|run(?:ning)?|sampling|rendering"
    r"|wall[- ]clock|compute) ){0,2}"
    r"time)(?: limit| target)?(?: per image| an image)?(?: (?:of|for) (?:the |an? |my )?\x01++(?: pipeline"
    r"| model)?)?",
    r"(?:单张|每张)?(?:生成|推理|出图|运行|采样|总|平均|单张图?)?的?(?:延迟|时延|耗时|用时|时间|时长)",
)
UNITS = {
    "ms": rf"(?:ms|msecs?|milliseconds?){END}|毫秒",
    "s": rf"(?:s|secs?|seconds?){END}|秒钟?",
    "min": rf"(?:min|mins|minutes?){END}|分钟",
}
UNIT = rf" ?(?:{'|'.join(f'(?P<{name}>{forms})' for name, forms in UNITS.items())})"
UNIT_WORD = rf"(?:{'|'.join(UNITS.values())})"
IMAGE = either(r"images?|imgs?|pictures?|pics?", r"图片?|图像|张图?片?|幅图?")
PER_IMAGE = rf"(?: ?(?:{START}(?:per|an?|each|every|for each|for an?){END} ?|/ ?|每|一){IMAGE})"
EACH_IMAGE = (
    rf"(?:{START}(?:each|every|per|an|one) {IMAGE}(?: (?:takes?|taking|should take|must take|in))?"
    rf"|(?:每|单)[张幅个]?{IMAGE}?)"
)

STEPS = either(
    r"(?:(?:sampling|inference|denoising|diffusion|scheduler|sampler)[ -])?(?:steps?|iterations?|its?)",
    r"个?(?:采样|推理|去噪|扩散|迭代)?步骤?",
)
STEPS_NOUN = either(
    r"(?:the )?(?:number of |num[_ ])?(?:(?:sampling|inference|denoising|diffusion)[ _])?"
    r"(?:steps|step(?: count|(?= ?[=:])))",
    r"(?:采样|推理|去噪|扩散|迭代)?步[数骤]",
)

ANY_METHOD = either(
    r"(?:(?:any|whatever|whichever|all|every|the best)(?: available| suitable| other)?|(?:any"
    r"|the best) combination of)"
    r"(?: acceleration| speed-?up)? (?:methods?|techniques?|means|approach(?:es)?|tricks?)(?: you (?:have"
    r"|like|want))?"
    r"|whatever (?:works|it takes)|(?:any|no matter) (?:how|which way)|anything goes",
    r"(?:任意|任何|所有|全部|不限|随便)(?:一种|种|什么|哪种)?的?(?:加速)?(?:方法|手段|方式|技术|办法)(?:的?组合)?"
    r"|(?:加速)?(?:方法|手段|方式)(?:不限|随意|任选)|(?:用)?什么方法都(?:可以|行)",
)
FASTEST = either(
    r"as (?:fast|quick(?:ly)?|much) as (?:possible|(?:it|this|that|\x01++) (?:can|could|will) (?:be|go"
    r"|get)|(?:you|we) can)"
    r"|(?:the )?fastest(?: possible)?|how (?:fast|quick|much faster) can (?:you|we|it|i|\x01++)(?: (?:make"
    r"|get|go|be|run|become))*"
    r"|(?:the )?(?:max(?:imum|imal)?|highest|best|greatest)(?: possible)? (?:speed[ -]?up|acceleration|speed)"
    r"|upper[ -]bound(?: (?:of|on))?(?: the)?(?: speed[ -]?up)?",
    r"尽可能地?(?:快|加速|提速)|尽量(?:加速|提速|快)(?:一?些|一?点)?|越快越好|最快|最大(?:的)?(?:加速比?|提速"
    r"|程度(?:地)?(?:加速|提速))"
    r"|最高(?:的)?加速比?|加速上限|(?:最多)?能(?:有)?多快(?:就多快)?|加速到极限",
)
NO_METHOD = either(
    r"(?:without|no|with no|w/o)(?: any)? (?:acceleration|speed-?up|accelerating)(?: methods?| it)?"
    r"|unaccelerated|not accelerated"
    r"|(?:do not|don't) accelerate(?: it)?",
    r"(?:不|无|没有|无需|不使用|不用|不做|不进行)(?:任何)?(?:加速|提速)(?:方法)?",
)
ACCELERATION = either(
    r"accelerat(?:e|es|ed|ing|ions?|or)"
    r"|(?:speed(?:ing)?|sped) (?:(?:the |an? |my |our |this )?(?:it|them|this|image generation|pipeline"
    r"|\x01++(?: pipeline| model)?) )?up"
    r"|speed-?ups?|speeding-up|sped-up|faster|fast|quicker|quick",
    r"加速|提速|更快|快(?:一?点|一?些)?",
)
SAMPLER_WORD = r"(?:samplers?|schedulers?|solver|采样器|采样方法|调度器)"
MODEL_WORD = r"(?:pipelines?|models?|folder|checkpoint|流水线|管线|管道|模型|目录|文件夹)"

PUNCTUATION = frozenset(",.;:!?()[]{}\"'`“”‘’「」『』《》【】、。，…·—–-/+&|*#=")
_WORDS = Path(__file__).with_name("fillers.txt").read_text(encoding="utf-8").split()
FILLERS = frozenset(word for word in _WORDS if word.isascii())
CHINESE_FILLERS = tuple(word for word in _WORDS if not word.isascii())

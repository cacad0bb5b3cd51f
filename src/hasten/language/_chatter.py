"""Patterns of words that ask for nothing. They are skipped, with a note, where all other words were understood."""

from __future__ import annotations

from hasten.language import _words as w
from hasten.language._forms import forms, told

_CARD = (
    r"(?:nvidia |geforce |amd |apple |intel |tesla |single |new |old |little |local |own |home |gaming ){0,3}"
    r"(?:(?:rtx|gtx|quadro|arc|radeon)[ -]?(?:pro )?[a-z]?\d{3,4}(?: ?(?:ti|super|xtx?|ada|d)){0,2}"
    r"|[1-7]0[5-9]0(?: ?(?:ti|super|d)){0,2}"
    r"|[ahlvtb]\d{1,3}[sx]?|gh?b?200|m[1-5](?: (?:pro|max|ultra))?|rx ?\d{4}(?: xtx?)?)"
    r"(?:[- ]?\d{2,3} ?gb)?(?: (?:gpu|card|machine|graphics card|laptop))?"
)
_PLACES = (
    r"(?:nvidia |local |old |new |home |gaming |work |own |little ){0,2}"
    r"(?:laptop|desktop|machine|workstation|server|computer|pc|macbook|mac|notebook|box|cluster|instance"
    r"|setup|hardware|card)"
)
_ENGLISH = (
    rf"(?:(?:(?:running|run) )?(?:on|using|with|for|have|has) )?(?:my|our|an?|the|this|one|a single) "
    rf"(?:{_CARD}|{_PLACES})(?: here)?"
    rf"|(?:on|using) (?:{_CARD})|(?:i|we) (?:only )?have (?:only )?\d{{1,3}} ?gb(?: of)? (?:v?ram|(?:gpu )?memory)"
    r"|how (?:do|can|could|would|should|to|might) (?:i|we|you|one)|how to|how much faster"
    r"|what is the best way to|what's the best way to"
    r"|is it possible to|is there (?:a|any) way to|(?:do you|would you|could you|can you|can we|could we"
    r"|would it be possible to)"
    r"|(?:i|we) (?:am|are|'m|'re|would like|would love|want|need|wish|have|was|were|think|guess|just"
    r"|really|currently|am trying|tried"
    r"|am looking|wonder|was wondering)(?: (?:to|if|that|whether|trying|looking|for|you|it|can|could|hoping))*"
    r"|i'm|i've|i'd(?: (?:like|love|prefer))?(?: to)?|we're|we'd|let's|my boss|our (?:users|customers)|it's|that's"
    r"|at the moment|at present|right now|currently|these days|today|as of now|nowadays|by now|for now"
    r"|if (?:possible|you can|that is possible|that's possible|it is possible|feasible|you please)"
    r"|when you can|asap|as soon as possible"
    r"|(?:thanks|thank you|cheers|ty|thx)(?: (?:a lot|so much|very much|in advance|you|guys|everyone|mate"
    r"|again))*|much appreciated"
    r"|(?:hi|hey|hello|dear|good (?:morning|evening|afternoon))(?: (?:there|everyone|all|guys|team|hasten|folks))?"
    r"|please|pls|plz|kindly|just|really|actually|basically|simply|maybe|perhaps|somehow|anyway|also"
    r"|ideally|preferably|honestly|ok|okay|so|well"
    r"|for (?:my|our|the|an?) (?:\w+ )?(?:app|website|web site|site|project|product|client|demo|game"
    r"|startup|service|company|blog|shop"
    r"|thesis|research|paper|team|users|customers|work|job|art|bot|api)"
    r"|(?:it is|it's|it was|this is|that is|is|are|feels?|seems?) (?:way |far |a bit |really |very |much "
    r"|just |currently )*(?:too )?slow"
    r"|too slow|(?:way |far )?too long|takes forever|no idea how|not sure how|any ideas?|any help"
    r"|would be (?:great|nice|awesome|cool|perfect)"
    r"|(?:a|some) (?:lot|little|bit)|you know|i guess|in production|for production|out of the box"
    r"|from hugging ?face|of course|let me know"
)
_CHINESE = (
    r"(?:在|用)?(?:我|我们|咱们?|公司)的?(?:这台|这张|那张|一张)?(?:(?:rtx|gtx|nvidia|tesla)? ?)"
    r"(?:[1-7]0[5-9]0(?: ?ti)?|[ahlvt]\d{1,3}|显卡|机器|电脑|笔记本|服务器|工作站|卡)(?:显卡)?(?:上"
    r"|里)?(?:运行|跑)?"
    r"|在(?:一张|单张)?(?:rtx|nvidia)? ?(?:[1-7]0[5-9]0(?: ?ti)?|[ahlvt]\d{1,3})(?:显卡)?(?:上|里)?(?:运行|跑)?"
    r"|看看|试试|试一下|怎么|怎样|如何|能不能|能否|可不可以|可以不可以|是否可以|有没有办法|有什么办法"
    r"|目前|现在|当前|最近|暂时|如果可以的?话|可能的话|尽快|麻烦(?:你|您)?|拜托|劳驾|多谢|谢谢(?:你|您"
    r"|大家)?|感谢|辛苦了"
    r"|大家好|你好|您好|请问|我想知道|我们?(?:想|希望|打算|需要)|太慢了?|很慢|有点慢|比较慢|实在|其实|一下"
    r"|最好|尽管|毕竟|吗|呀|啊|哦|嘛|呗|哈|啦|哪|呢"
    r"|给(?:我|我们)(?:的)?(?:项目|产品|客户|网站|应用|团队)(?:用)?"
)

_THAN_BASELINE = (
    r"比(?:原来|现在|之前|原先|基线|默认|原始)的?(?:要)?(?= ?(?:至少)?(?:更?快|提速|加速|提升|提高|节省|少|减))"
)
FORMS = forms("than baseline", told, (_THAN_BASELINE,)) + forms(
    "chatter", told, (w.either(_ENGLISH, _CHINESE), r"(?<=\0 )out of(?= \x01)")
)

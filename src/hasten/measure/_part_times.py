"""Times the parts of the denoiser in one run, by hooks: each part without the parts inside it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from hasten.denoisers import denoiser_of, is_a, is_joint, stacked
from hasten.measure.stepwise import undisturbed
from hasten.measure.timing import Stopwatch, synchronise

if TYPE_CHECKING:
    import torch

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a call, by position and by name."""
Key = tuple[str, Any]
"""The layer's name and the part's kind. The kinds *text* and *decode* are outside the denoiser."""
DENOISER: Key = ("", "denoiser")
TEXT: Key = ("", "text")
DECODE: Key = ("", "decode")
LAYERS = {"resnets": "resnet", "attentions": "transformer", "downsamplers": "sampler", "upsamplers": "sampler"}
INNER = {"attn1": "self_attention", "attn2": "cross_attention", "ff": "feed_forward"}
JOINT = {"attn": "self_attention", "attn2": "self_attention", "ff": "feed_forward", "ff_context": "feed_forward"}
"""The kinds of parts in blocks whose attention is over image and text together."""
UNET = ("down_blocks", "mid_block", "up_blocks")


@dataclass
class Run:
    """The seconds of one run with hooks.

    Attributes:
        gaps_s: the time before the denoiser's first call, between its calls, and after the last, including text
            encoding and decoding.
        calls_s: the time of each part, in each of the denoiser's calls.
        once_s: the time of text encoding and of decoding alone.
        modules: the number of hooked calls of a part's modules in the whole run.
        inside: the number of hooked calls directly inside a part.
        tokens: the number of tokens of each self-attention's layer.
    """

    gaps_s: list[float] = field(default_factory=list)
    calls_s: list[dict[Key, float]] = field(default_factory=list)
    once_s: dict[Key, float] = field(default_factory=lambda: {TEXT: 0.0, DECODE: 0.0})
    modules: Counter[Key] = field(default_factory=Counter)
    inside: Counter[Key] = field(default_factory=Counter)
    tokens: dict[str, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """The number of calls of the denoiser."""
        return len(self.calls_s)

    @property
    def pieces_s(self) -> list[float]:
        """The times between the cuts of the run, which lie at the beginning of each call of the denoiser."""
        first, *after = self.gaps_s
        return [first, *(sum(call.values()) + gap for call, gap in zip(self.calls_s, after, strict=True))]

    def add(self, key: Key, took: float, outer: Key | None) -> None:
        """Adds a call of a module, which lies inside that of another, if ``outer`` is given."""
        own = self.once_s if key in self.once_s else self.calls_s[-1]
        own[key] += took
        self.modules[key] += 1
        if outer is not None:
            own[outer] -= took
            self.inside[outer] += 1

    def hooks(self, key: Key) -> float:
        """Returns how many hooks' cost a part bears in the run: half of a hook's cost is inside its module, half
        around it."""
        return (self.modules[key] + self.inside[key]) / 2


def parts_s(runs: Sequence[Run], hook_s: float) -> dict[Key, float]:
    """Returns the seconds of each part per call of the denoiser, over the calls of all runs.

    ``hook_s`` is the cost of a hooked module, which is subtracted.
    """
    first, calls = runs[0], [call for run in runs for call in run.calls_s]
    return {
        key: max(0.0, undisturbed(call.get(key, 0.0) for call in calls) - hook_s * first.hooks(key) / first.calls)
        for key in dict.fromkeys(chain(*first.calls_s))
    }


def outside_s(runs: Sequence[Run], hook_s: float) -> dict[str, float]:
    """Returns the seconds per run of *text* encoding, *decode* and the *rest*, and those *between* two calls of
    the denoiser."""
    gaps = [gap for run in runs for gap in run.gaps_s[1:-1]]
    between = max(0.0, undisturbed(gaps) - hook_s) if gaps else 0.0
    before = undisturbed(run.gaps_s[0] - run.once_s[TEXT] for run in runs)
    after = undisturbed(run.gaps_s[-1] - run.once_s[DECODE] for run in runs)
    text, decode = (
        max(0.0, undisturbed(run.once_s[key] for run in runs) - hook_s * runs[0].hooks(key))
        for key in (TEXT, DECODE)
    )
    # The last call is followed by one more of the times between calls.
    return {"text": text, "decode": decode, "between": between, "rest": max(0.0, before + after - between)}


def timed(call: Callable[[], object], pipe: Any, device: str, watch: Stopwatch) -> Run:
    """Times a call's parts. The marks are read once at the end, so that nothing waits meanwhile."""
    mark, seconds = watch
    with _Recorder(mark).on(pipe) as recorder:
        synchronise(device)
        start = mark()
        call()
        synchronise(device)
        end = mark()
        synchronise(device)
    return recorder.read(start, end, seconds)


class _Recorder:
    """Marks the beginning (a key) and the end (None) of each call of the hooked modules, in their order."""

    def __init__(self, mark: Callable[[], Any]) -> None:
        self._mark = mark
        self._marks: list[tuple[Key | None, Any]] = []
        self._tokens: dict[str, int] = {}

    @contextmanager
    def on(self, pipe: Any) -> Iterator[_Recorder]:
        with ExitStack() as stack:
            for key, module in _sites(pipe):
                for handle in self._hooks(key, module):
                    stack.callback(handle.remove)
            yield self

    def _hooks(self, key: Key, module: torch.nn.Module) -> Iterator[Any]:
        marks, mark = self._marks, self._mark
        if key[1] == "self_attention":
            yield module.register_forward_pre_hook(self._count_tokens(key[0]), with_kwargs=True)
        yield module.register_forward_pre_hook(lambda *_: marks.append((key, mark())), prepend=True)
        yield module.register_forward_hook(lambda *_: marks.append((None, mark())))

    def _count_tokens(self, layer: str) -> Callable[..., None]:
        def count(_: Any, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> None:
            self._tokens[layer] = (args[0] if args else kwargs["hidden_states"]).shape[1]

        return count

    def read(self, start: Any, end: Any, seconds: Callable[[Any, Any], float]) -> Run:
        """Returns the run that the marks describe. ``seconds`` returns the time between two marks."""
        run = Run(tokens=self._tokens)
        open_: list[tuple[Key, Any]] = []
        last = start
        for begun, mark in self._marks:
            if begun is not None:
                if begun == DENOISER:
                    run.gaps_s.append(seconds(last, mark))
                    run.calls_s.append(defaultdict(float))
                open_.append((begun, mark))
                continue
            key, begin = open_.pop()
            run.add(key, seconds(begin, mark), open_[-1][0] if open_ else None)
            last = mark if key == DENOISER else last
        run.gaps_s.append(seconds(last, end))
        return run


def _sites(pipe: Any) -> Iterator[tuple[Key, Any]]:
    """Yields all modules that are hooked, with the part that their time counts for."""
    yield from ((TEXT, part) for name, part in pipe.components.items() if name.startswith("text_encoder") and part)
    yield DECODE, pipe.vae.decoder
    denoiser = denoiser_of(pipe)
    yield DENOISER, denoiser
    for name, block in stacked(denoiser):
        yield from _parts(name, block, JOINT if is_joint(denoiser) else INNER)
    for name, module in denoiser.named_modules():
        names = name.split(".")
        depth = 1 if names[0] == "mid_block" else 2
        if names[0] not in UNET:
            continue
        if len(names) == depth:
            yield (name, "block"), module
        elif len(names) == depth + 2 and names[depth] in LAYERS:
            yield (name, LAYERS[names[depth]]), module
        elif names[-1] in INNER and is_a(denoiser.get_submodule(".".join(names[:-1])), "BasicTransformerBlock"):
            yield (".".join(names[: depth + 2]), INNER[names[-1]]), module


def _parts(name: str, block: Any, inner: dict[str, str]) -> Iterator[tuple[Key, Any]]:
    """Yields the parts of a transformer's block. A block without a feed-forward module does that work itself."""
    yield (name, "block"), block
    parts = ((kind, getattr(block, part, None)) for part, kind in inner.items())
    yield from (((name, kind), module) for kind, module in parts if module is not None)


def calls_in(call: Callable[[], object], pipe: Any) -> list[Arguments]:
    """Returns the arguments of each call of the denoiser in ``call``."""
    found: list[Arguments] = []

    def look(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args, kwargs))

    hook = denoiser_of(pipe).register_forward_pre_hook(look, with_kwargs=True)
    try:
        call()
    finally:
        hook.remove()
    return found

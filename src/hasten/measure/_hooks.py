"""One run with hooks on the denoiser's parts: what each takes without those within it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hasten.measure.timing import Stopwatch, synchronise
from hasten.methods._denoiser import denoiser_of, is_a, stacked

if TYPE_CHECKING:
    import torch

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Of a call: by position, and by name."""
Key = tuple[str, Any]
"""The layer's name and the part's kind; kinds *text* and *decode* are outside the denoiser."""
DENOISER: Key = ("", "denoiser")
TEXT: Key = ("", "text")
DECODE: Key = ("", "decode")
LAYERS = {"resnets": "resnet", "attentions": "transformer", "downsamplers": "sampler", "upsamplers": "sampler"}
INNER = {"attn1": "self_attention", "attn2": "cross_attention", "ff": "feed_forward"}
JOINT = {"attn": "self_attention", "attn2": "self_attention", "ff": "feed_forward", "ff_context": "feed_forward"}
"""The same in blocks whose attention is over image and text together."""
UNET = ("down_blocks", "mid_block", "up_blocks")


@dataclass
class Run:
    """Seconds of one run. ``own_s``: of all calls of a part together, ``modules`` and ``inside`` how many hooked
    calls of modules there were of it and directly within it, ``tokens`` those of each self-attention's layer."""

    total_s: float = 0.0
    between_s: float = 0.0
    own_s: dict[Key, float] = field(default_factory=lambda: defaultdict(float))
    modules: Counter[Key] = field(default_factory=Counter)
    inside: Counter[Key] = field(default_factory=Counter)
    tokens: dict[str, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """Of the denoiser."""
        return self.modules[DENOISER]

    def parts_s(self, hook_s: float) -> dict[Key, float]:
        """Seconds of each part a call of the denoiser; a hooked module takes ``hook_s``, half of it outside."""
        return {key: self._seconds(key, hook_s) / self.calls for key in self.own_s if key not in (TEXT, DECODE)}

    def outside_s(self, hook_s: float) -> dict[str, float]:
        """Seconds a run of text encoding, decoding and the rest; ``between`` calls of the denoiser for each."""
        gaps = max(1, self.calls - 1)
        text, decode = self._seconds(TEXT, hook_s), self._seconds(DECODE, hook_s)
        between = max(0.0, self.between_s / gaps - hook_s) if self.calls > 1 else 0.0
        known = sum(self.own_s.values()) + self.calls * between
        return {"text": text, "decode": decode, "between": between, "rest": max(0.0, self.total_s - known)}

    def _seconds(self, key: Key, hook_s: float) -> float:
        return max(0.0, self.own_s.get(key, 0.0) - hook_s / 2 * (self.modules[key] + self.inside[key]))


def timed(call: Callable[[], object], pipe: Any, device: str, watch: Stopwatch | None = None) -> Run:
    """Times a call, with a stopwatch also its parts: its marks are read once at the end."""
    if watch is None:
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        return Run(time.perf_counter() - start)
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
    """Marks the begin (a key) and the end (None) of each call of the hooked modules, in their order."""

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
        """What the marks tell. ``seconds`` between two marks."""
        run = Run(seconds(start, end), tokens=self._tokens)
        open_: list[tuple[Key, Any]] = []
        last = None
        for begun, mark in self._marks:
            if begun is not None:
                if begun == DENOISER and last is not None:
                    run.between_s += seconds(last, mark)
                open_.append((begun, mark))
                continue
            key, begin = open_.pop()
            run.own_s[key] += (took := seconds(begin, mark))
            run.modules[key] += 1
            if open_:
                run.own_s[open_[-1][0]] -= took
                run.inside[open_[-1][0]] += 1
            last = mark if key == DENOISER else last
        return run


def _sites(pipe: Any) -> Iterator[tuple[Key, Any]]:
    """All that is hooked, by what its seconds count for."""
    yield from ((TEXT, part) for name, part in pipe.components.items() if name.startswith("text_encoder") and part)
    yield DECODE, pipe.vae.decoder
    denoiser = denoiser_of(pipe)
    yield DENOISER, denoiser
    for name, block in stacked(denoiser):
        yield from _parts(name, block)
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


def _parts(name: str, block: Any) -> Iterator[tuple[Key, Any]]:
    """The parts of a transformer's block; one that has no feed-forward of its own does that itself."""
    yield (name, "block"), block
    inner = INNER if is_a(block, "BasicTransformerBlock") else JOINT
    parts = ((kind, getattr(block, part, None)) for part, kind in inner.items())
    yield from (((name, kind), module) for kind, module in parts if module is not None)


def calls_in(call: Callable[[], object], pipe: Any) -> list[Arguments]:
    """What the denoiser is called with, each time."""
    found: list[Arguments] = []

    def look(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args, kwargs))

    hook = denoiser_of(pipe).register_forward_pre_hook(look, with_kwargs=True)
    try:
        call()
    finally:
        hook.remove()
    return found

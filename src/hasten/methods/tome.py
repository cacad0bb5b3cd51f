"""ToMe: merges similar tokens before self-attention, whose work grows with the square of their number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hasten.denoisers import (
    TransformerBlock,
    denoiser_of,
    no_transformer_blocks,
    no_unet,
    transformer_blocks,
)
from hasten.errors import ParameterError
from hasten.methods.base import Method, Parameter, Patching, State, Step
from hasten.plan import Parameters, Value

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper

DOWNSAMPLES = (1, 2, 4, 8)
WIDEST = 64  # the largest cell side, where the size of the latents is not known
SEED = 0


class ToMe(Method):
    """Merges ``ratio`` of the tokens in all layers whose tokens are at most ``max_downsample`` times coarser than
    the finest ones, along each side.

    Each cell of ``sy`` rows and ``sx`` columns has one token that is always kept, and into which others are
    merged.

    Example:
        >>> with hasten.accelerate(pipe, "tome(ratio=0.5,max_downsample=1)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "tome"
    title = "ToMe"
    aliases = ("token merging", "tomesd")
    summary = "merges like tokens before self-attention"
    paper = "Bolya, Hoffman: Token Merging for Fast Stable Diffusion. CVPR Workshops 2023, arXiv:2303.17604"
    order = 10
    denoisers = ("unet", "transformer")

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        levels = _levels(pipe)
        rows, columns = _finest(pipe)
        return (
            Parameter(
                "ratio",
                float,
                low=0.0,
                high=_cap(2, 2),
                default=0.5,
                neutral=0.0,
                grid=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, _cap(2, 2)),
                meaning="the share of tokens that are merged into others; at most 1 - 1/(sx*sy)",
            ),
            _downsample(levels, _depths(pipe)),
            Parameter("sx", int, 1, columns, min(2, columns), min(2, columns), (2,), "columns of a cell"),
            Parameter("sy", int, 1, rows, min(2, rows), min(2, rows), (2,), "rows of a cell"),
        )

    def check(self, given: Mapping[str, Value], pipe: Any = None, steps: int | None = None) -> Parameters:
        # The ratio's limit depends on sx and sy, so that it is checked after them.
        rest = super().check({**given, "ratio": 0.0}, pipe, steps)
        cap = _cap(int(rest["sx"]), int(rest["sy"]))
        ratio = replace(self.parameters(pipe, steps)[0], high=cap, default=min(0.5, cap))
        rest["ratio"] = self.legal(ratio, given.get("ratio", ratio.default))
        if rest["ratio"] and int(rest["max_downsample"]) < _levels(pipe)[0]:
            raise ParameterError(
                f"ToMe has no effect: max_downsample {rest['max_downsample']} covers no layer of this model, "
                f"whose self-attention begins at {_levels(pipe)[0]}. Use that or more."
            )
        return rest

    def unsupported(self, pipe: Any) -> str | None:
        return no_transformer_blocks(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        current = patches.listen(self, lambda: _State(parameters), run_wide=True)
        for block in _covered(pipe, parameters):
            patches.wrap(self, block.module, _remember(current))
            patches.wrap(self, block.module.attn1, _merge(current, block))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        """Returns the work of self-attention's products. Merging has a cost of its own, which no share of work can
        express."""
        ratio, unet = float(parameters["ratio"]), denoiser_of(pipe)
        covered = sum(block.downsample**-4.0 for block in _covered(pipe, parameters))
        everything = sum(block.downsample**-4.0 for block in transformer_blocks(unet))
        share = 1 - (1 - (1 - ratio) ** 2) * covered / everything
        names = {module: name for name, module in unet.named_modules()}
        merged = {names[block.module]: ratio for block in _covered(pipe, parameters)} if ratio else {}
        return (Step(self_attention=share, merged=merged),) * steps

    def probes(self, pipe: Any) -> tuple[Parameters, ...]:
        """Returns three ratios for all layers, because a layer's time is a quadratic function of the number of its
        tokens."""
        widest = max(_levels(pipe))
        return tuple({"ratio": ratio, "max_downsample": widest} for ratio in (0.1, 0.5, _cap(2, 2)))


def _downsample(levels: tuple[int, ...], allowed: tuple[int, ...]) -> Parameter:
    return Parameter(
        "max_downsample",
        int,
        low=1,
        high=allowed[-1],
        default=levels[0],
        neutral=levels[0],
        grid=tuple(level for level in levels if level <= 4),
        meaning="the largest downsampling of tokens, along a side, at which layers are covered",
        allowed=allowed,
    )


def _depths(pipe: Any) -> tuple[int, ...]:
    """Returns the legal values of ``max_downsample``, which is 1 in transformers, whose layers all have the same
    tokens."""
    return DOWNSAMPLES if pipe is None or no_unet(pipe, "ToMe") is None else (1,)


def _cap(sx: int, sy: int) -> float:
    """Returns the largest legal ratio: each cell keeps one token."""
    return 1 - 1 / (sx * sy)


def _levels(pipe: Any) -> tuple[int, ...]:
    """Returns the values of ``max_downsample`` that cover different layers of this model."""
    if pipe is None:
        return DOWNSAMPLES
    return tuple(sorted({min(8, block.downsample) for block in transformer_blocks(denoiser_of(pipe))}))


def _finest(pipe: Any) -> tuple[int, int]:
    """Returns the rows and columns of the model's finest tokens at its usual size of latents."""
    if pipe is None:
        return WIDEST, WIDEST
    size = denoiser_of(pipe).config.sample_size or WIDEST
    rows, columns = (size, size) if isinstance(size, int) else (size[0], size[1])
    return next(transformer_blocks(denoiser_of(pipe)))._replace(downsample=1).grid((rows, columns))


def _covered(pipe: Any, parameters: Parameters) -> tuple[TransformerBlock, ...]:
    blocks = transformer_blocks(denoiser_of(pipe))
    return tuple(block for block in blocks if block.downsample <= int(parameters["max_downsample"]))


class _State(State):
    """The token generator, which starts anew with each run, and the input of the transformer block that runs."""

    def __init__(self, parameters: Parameters) -> None:
        self.ratio = float(parameters["ratio"])
        self.block_input: Any = None
        self._stride = (int(parameters["sy"]), int(parameters["sx"]))
        self._generator: Any = None

    def start(self) -> None:
        self._generator = self.block_input = None

    def refresh(self) -> None:
        """Does nothing: nothing that is stored from step to step depends on the batch."""

    def step(self, number: int) -> None:
        """Does nothing: all steps are alike."""

    def matching(self, block: TransformerBlock) -> Any:
        """Returns the TokenMerge of the block that runs, or None where there is no token to merge."""
        from hasten.methods._token_merge import TokenMerge

        metric, self.block_input = self.block_input, None
        count = int(metric.shape[1] * self.ratio)
        if not count:
            return None
        rows, columns = block.grid(self.lane.size)
        stride = (min(self._stride[0], rows), min(self._stride[1], columns))
        # With an odd batch the halves of guidance may run in separate calls, which must merge the same tokens.
        generator = self._drawn(metric.device) if metric.shape[0] % 2 == 0 else None
        return TokenMerge(metric, (rows, columns), stride, count, generator)

    def _drawn(self, device: Any) -> Any:
        import torch

        if self._generator is None:
            home = device if device.type in ("cpu", "cuda") else "cpu"
            self._generator = torch.Generator(home).manual_seed(SEED)
        return self._generator


def _remember(current: Current[_State]) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if state.ratio:
            state.block_input = args[0] if args else kwargs["hidden_states"]
        return call_next(*args, **kwargs)

    return wrapper


def _merge(current: Current[_State], block: TransformerBlock) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, hidden: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        matching = state.matching(block) if state.ratio else None
        if matching is None:
            return call_next(hidden, *args, **kwargs)
        state.did_merged = True
        return matching.unmerge(call_next(matching.merge(hidden), *args, **kwargs))

    return wrapper


METHOD = ToMe()

"""What the methods need to know about any denoiser, a UNet or a transformer, read from its modules. No torch."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from hasten.methods._unet import levels

KNOWN = ("UNet2DConditionModel", "PixArtTransformer2DModel")
"""Classes of denoisers whose ``BasicTransformerBlock``s see the tokens of one image, row by row."""
GUIDED = (*KNOWN, "SD3Transformer2DModel")
"""Classes of denoisers whose pipelines compute both halves of guidance in one batch, the unconditional first."""
ATTRIBUTE = "_hasten_patches"
"""What all that is installed on a denoiser is kept on it by."""
STACKED = ("PixArtTransformer2DModel", "SD3Transformer2DModel", "FluxTransformer2DModel")
"""Classes of denoisers that are a stack of blocks, one after the other over the same tokens."""
ANY = (*GUIDED, "FluxTransformer2DModel")
"""All classes of denoisers whose blocks are known."""
STACKS = ("transformer_blocks", "single_transformer_blocks")
"""Where those have their blocks, in the order they run."""
WEIGHT_HOOKS = {
    "layerwise_casting": "casts the weights of its layers at each call (enable_layerwise_casting)",
    "group_offloading": "moves its weights to the device and off again at each call (enable_group_offload)",
}
"""Hooks of diffusers, by name, that change the data of weights around each call of their modules."""
SAMPLE = 0
"""Where among its arguments a denoiser takes the sample."""


class TransformerBlock(NamedTuple):
    """A transformer block, and how coarse its tokens are a side: ``downsample`` times the denoiser's finest
    ones, which cover ``patch`` latents each."""

    module: Any
    downsample: int
    patch: int = 1

    def grid(self, latents: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of its tokens, of latents with so many."""
        rows, columns = (-(-(side // self.patch) // self.downsample) for side in latents)
        return rows, columns


def denoiser_of(pipe: Any) -> Any:
    """``pipe.unet`` or ``pipe.transformer``, without the shell that ``torch.compile`` puts around it."""
    unet = getattr(pipe, "unet", None)
    found = getattr(pipe, "transformer", None) if unet is None else unet  # a compiled one has no truth value
    return getattr(found, "_orig_mod", found)


def is_installed(name: str, pipe: Any) -> bool:
    """The method of that name is applied to the pipeline's denoiser."""
    patches = vars(denoiser_of(pipe)).get(ATTRIBUTE)
    return patches is not None and patches.has(name)


def is_a(thing: Any, class_name: str) -> bool:
    """Whether a class of that name is among the object's classes: asked by name so that nothing is imported."""
    return class_name in _names_of(thing.__class__)


@cache
def _names_of(kind: type) -> frozenset[str]:
    """The names of a class and of those above it."""
    return frozenset(c.__name__ for c in kind.__mro__)


def weights_in_other_hands(denoiser: Any, hooks: Collection[str] = tuple(WEIGHT_HOOKS)) -> str | None:
    """What diffusers does with the weights around each call, so that nobody else can change or keep their data."""
    for module in denoiser.modules():
        installed = getattr(vars(module).get("_diffusers_hook"), "hooks", {})
        if found := next((name for name in hooks if name in installed), None):
            return f"the {type(denoiser).__name__} {WEIGHT_HOOKS[found]}"
    return None


def no_unet(pipe: Any, title: str) -> str | None:
    """Why a method that needs diffusers' conditional UNet cannot be used on the pipeline; None when it can."""
    name = type(pipe).__name__
    if getattr(pipe, "unet", None) is None:
        return f"{name} has no unet: {title} needs a UNet2DConditionModel"
    unet = denoiser_of(pipe)
    if not is_a(unet, "UNet2DConditionModel"):
        return f"the unet of {name} is a {type(unet).__name__}: {title} needs a UNet2DConditionModel"
    return None


def no_transformer_blocks(pipe: Any, title: str) -> str | None:
    """The same for a method that works on self- and cross-attention in transformer blocks over the image."""
    return no_attention(pipe, title, KNOWN)


def no_attention(pipe: Any, title: str, among: tuple[str, ...] = ANY) -> str | None:
    """The same for a method that works on the attention in transformer blocks of any kind, in such denoisers."""
    reason = not_among(among, pipe, title)
    if reason is None and not any(attentions(denoiser_of(pipe))):
        name = f"the {_kind(pipe)} of {type(pipe).__name__}"
        return f"{name} has no transformer blocks: {title} has no attention to work on"
    return reason


def no_guided_batch(pipe: Any, title: str) -> str | None:
    """The same for a method that drops a half of the batch that guidance takes."""
    return not_among(GUIDED, pipe, title)


def no_stack(pipe: Any, title: str) -> str | None:
    """The same for a method that lets blocks of a transformer rest."""
    reason = not_among(STACKED, pipe, title)
    if reason is None and len(stacked(denoiser_of(pipe))) < 2:
        return f"the transformer of {type(pipe).__name__} has a single block: {title} has none that could rest"
    return reason


def stacked(denoiser: Any) -> list[tuple[str, Any]]:
    """The names and modules of a transformer's blocks, in the order they run."""
    return [(f"{s}.{n}", block) for s in STACKS for n, block in enumerate(getattr(denoiser, s, ()))]


def blocks_of(denoiser: Any) -> tuple[str, ...]:
    """The names of a transformer's blocks, or of a UNet's down, mid and up blocks."""
    if found := stacked(denoiser):
        return tuple(name for name, _ in found)
    names = {module: name for name, module in denoiser.named_modules()}
    return tuple(names[block] for block, _ in levels(denoiser))


def no_denoiser(pipe: Any, title: str) -> str | None:
    """The same for a method that needs a denoiser of any kind."""
    if denoiser_of(pipe) is None:
        return f"{type(pipe).__name__} has no unet or transformer: {title} needs one"
    return None


def not_among(classes: tuple[str, ...], pipe: Any, title: str) -> str | None:
    """The same for a method that needs a denoiser of one of these classes."""
    name, denoiser = type(pipe).__name__, denoiser_of(pipe)
    if reason := no_denoiser(pipe, title):
        return reason
    if not any(is_a(denoiser, known) for known in classes):
        needed = ", ".join(classes[:-1]) + f" or {classes[-1]}" if classes[1:] else classes[0]
        return f"the {_kind(pipe)} of {name} is a {type(denoiser).__name__}: {title} needs a {needed}"
    return None


def _kind(pipe: Any) -> str:
    return "transformer" if getattr(pipe, "unet", None) is None else "unet"


def transformer_blocks(denoiser: Any) -> Iterator[TransformerBlock]:
    """All transformer blocks of a UNet or of PixArt's transformer, in the order they run."""
    if is_a(denoiser, "PixArtTransformer2DModel"):
        patch = denoiser.config.patch_size
        yield from (TransformerBlock(block, 1, patch) for block in denoiser.transformer_blocks)
        return
    for level, downsample in levels(denoiser):
        yield from (TransformerBlock(module, downsample) for module in _blocks_within(level))


def _blocks_within(module: Any) -> Iterator[Any]:
    """Only they are not looked into: there are many layers in each, and grids of plans ask a thousand times."""
    for child in module.children():
        if is_a(child, "BasicTransformerBlock"):
            yield child
        else:
            yield from _blocks_within(child)


def attentions(denoiser: Any) -> Iterator[tuple[Any, Any]]:
    """The transformer blocks of a denoiser, each with every attention within it, in the order they run."""
    blocks = [block for _, block in stacked(denoiser)] or [b.module for b in transformer_blocks(denoiser)]
    for block in blocks:
        found = (getattr(block, name, None) for name in ("attn", "attn1", "attn2"))
        yield from ((block, attention) for attention in found if attention is not None)


def is_joint(block: Any) -> bool:
    """The block's attention is over image and text together: it has no cross-attention."""
    return not is_a(block, "BasicTransformerBlock")


def is_crossing(block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """An attention of the block, called with that, looks from the image at the text alone."""
    text = kwargs["encoder_hidden_states"] if "encoder_hidden_states" in kwargs else (*args, None, None)[1]
    return text is not None and not is_joint(block)


def sample_of(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The sample (batch, …) that the denoiser is called with, whatever its class calls it."""
    return args[SAMPLE] if args else kwargs[arguments_of(denoiser)[SAMPLE]]


def timestep_of(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The timestep that the denoiser is called with."""
    if "timestep" in kwargs:
        return kwargs["timestep"]
    return args[arguments_of(denoiser).index("timestep")]


def arguments_of(denoiser: Any) -> tuple[str, ...]:
    """The names of what the denoiser is called with, in their order."""
    return _parameters(denoiser.__class__)


@lru_cache
def _parameters(denoiser: Any) -> tuple[str, ...]:
    """The names of its forward's parameters, without ``self``."""
    return tuple(inspect.signature(denoiser.forward).parameters)[1:]

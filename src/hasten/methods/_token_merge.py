"""Bipartite soft matching of image tokens, the algorithm of ToMe for Stable Diffusion (arXiv:2303.17604)."""

from __future__ import annotations

from functools import lru_cache

import torch


class TokenMerge:
    """Merges ``count`` of the tokens of an image into others that are like them, and puts them back.

    One token of each cell of ``stride`` (rows, columns) is a destination, picked by ``generator`` or, without
    one, the upper left. The other tokens most like a destination (cosine similarity of ``metric``) are merged
    into it by their mean.

    Shapes: metric (batch, tokens, channels), tokens = rows · columns of ``grid``.
    """

    def __init__(
        self,
        metric: torch.Tensor,
        grid: tuple[int, int],
        stride: tuple[int, int],
        count: int,
        generator: torch.Generator | None = None,
    ) -> None:
        batch = metric.shape[0]
        order, destinations = _partition(grid, stride, metric.device, generator)
        to, source = order[:destinations], order[destinations:]
        unit = metric / metric.norm(dim=-1, keepdim=True)
        likeness, match = (unit[:, source] @ unit[:, to].transpose(-1, -2)).max(dim=-1)
        ranked = likeness.argsort(dim=-1, descending=True)
        count = min(count, source.shape[0])
        merged, kept = ranked[:, :count], ranked[:, count:]
        self._to = to.expand(batch, -1)
        self._kept, self._merged = source[kept], source[merged]
        self._match = match.gather(1, merged)
        self._place = self._places()

    def _places(self) -> torch.Tensor:
        """(batch, tokens): where each token is found among the merged ones, the kept before the destinations."""
        kept, to = self._kept.shape[1], self._to.shape[1]
        numbers = torch.arange(kept + to, device=self._to.device).expand(self._to.shape[0], -1)
        places = torch.empty(
            self._to.shape[0], kept + to + self._merged.shape[1], dtype=torch.int64, device=self._to.device
        )
        places.scatter_(1, self._kept, numbers[:, :kept])
        places.scatter_(1, self._to, numbers[:, kept:])
        return places.scatter_(1, self._merged, self._match + kept)

    def merge(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, channels) → (batch, tokens − count, channels)."""
        index = _wide(self._match, tokens)
        destinations = _take(tokens, self._to)
        means = destinations.scatter_reduce(1, index, _take(tokens, self._merged), reduce="mean")
        return torch.cat([_take(tokens, self._kept), means], dim=1)

    def unmerge(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, tokens − count, channels) → (batch, tokens, channels): merged ones get their mean's value."""
        return _take(tokens, self._place)


def _partition(
    grid: tuple[int, int], stride: tuple[int, int], device: torch.device, generator: torch.Generator | None
) -> tuple[torch.Tensor, int]:
    """All tokens' numbers, the destinations first, and how many these are. Rests beyond full cells have none."""
    (rows, columns), (high, wide) = grid, stride
    to, offsets = _cells(grid, stride, device)
    if generator is not None:
        size = (rows // high, columns // wide, 1)
        draw = torch.randint(high * wide, size, generator=generator, device=generator.device)
        to = to + offsets[draw.flatten().to(device)]
    rank = torch.zeros(rows * columns, dtype=torch.int64, device=device)
    # Not rank[…] = -1: on a GPU that copies the number there, and waits until all work before it is done.
    rank.index_fill_(0, to, -1)
    # Attention does not care in which order its tokens come, but its last bits do: this is tomesd's order.
    return rank.argsort(), len(to)


@lru_cache(maxsize=64)
def _cells(
    grid: tuple[int, int], stride: tuple[int, int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """The number of each cell's upper left token, (cells,), and how far on each token of a cell is from that.

    Kept: a GPU that waits for its processor would wait for each of their kernels at every merging.
    """
    (rows, columns), (high, wide) = grid, stride
    numbers = torch.arange(rows * columns, device=device).view(rows, columns)
    corners = numbers[: rows // high * high : high, : columns // wide * wide : wide]
    return corners.flatten(), numbers[:high, :wide].flatten()


def _wide(index: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])


def _take(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return tokens.gather(1, _wide(index, tokens))

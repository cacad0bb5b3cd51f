"""Bipartite soft matching of image tokens, the algorithm of ToMe for Stable Diffusion (arXiv:2303.17604)."""

from __future__ import annotations

from functools import lru_cache

import torch


class TokenMerge:
    """Merges ``count`` of an image's tokens into similar ones, and restores the full set after attention.

    Each cell of ``stride`` (rows, columns) has one destination token, drawn by ``generator`` or, without one, the
    upper left. Of the other tokens, those most similar to a destination (cosine similarity of ``metric``) are
    merged into it as a mean.

    Args:
        metric: the features that similarity is computed from, (batch, tokens, channels).
        grid: rows and columns of the tokens; their product is the number of tokens.
        stride: rows and columns of a cell.
        count: the number of tokens to merge; at most all that are no destination.
        generator: draws the destinations.
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
        """Returns the index of each token's value in the merged sequence, (batch, tokens). Kept tokens come first
        there, then destinations."""
        kept, to = self._kept.shape[1], self._to.shape[1]
        numbers = torch.arange(kept + to, device=self._to.device).expand(self._to.shape[0], -1)
        places = torch.empty(
            self._to.shape[0], kept + to + self._merged.shape[1], dtype=torch.int64, device=self._to.device
        )
        places.scatter_(1, self._kept, numbers[:, :kept])
        places.scatter_(1, self._to, numbers[:, kept:])
        return places.scatter_(1, self._merged, self._match + kept)

    def merge(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns the merged tokens: (batch, tokens, channels) → (batch, tokens − count, channels)."""
        index = _wide(self._match, tokens)
        destinations = _take(tokens, self._to)
        means = destinations.scatter_reduce(1, index, _take(tokens, self._merged), reduce="mean")
        return torch.cat([_take(tokens, self._kept), means], dim=1)

    def unmerge(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns all tokens: (batch, tokens − count, channels) → (batch, tokens, channels). Merged ones get the
        value of their destination."""
        return _take(tokens, self._place)


def _partition(
    grid: tuple[int, int], stride: tuple[int, int], device: torch.device, generator: torch.Generator | None
) -> tuple[torch.Tensor, int]:
    """Returns the indices of all tokens, destinations first, and the number of destinations.

    Rows and columns beyond the last full cell contain no destination.
    """
    (rows, columns), (high, wide) = grid, stride
    to, offsets = _cells(grid, stride, device)
    if generator is not None:
        size = (rows // high, columns // wide, 1)
        draw = torch.randint(high * wide, size, generator=generator, device=generator.device)
        to = to + offsets[draw.flatten().to(device)]
    rank = torch.zeros(rows * columns, dtype=torch.int64, device=device)
    # Not rank[…] = -1, which on a GPU copies the number there and waits for all work before it.
    rank.index_fill_(0, to, -1)
    # Attention does not depend on the order of its tokens, but its rounding does, and this is tomesd's order.
    return rank.argsort(), len(to)


@lru_cache(maxsize=64)
def _cells(
    grid: tuple[int, int], stride: tuple[int, int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the index of each cell's upper left token, (cells,), and the offsets of a cell's tokens from it.

    The result is cached, because otherwise every merging would launch these kernels, and a GPU that waits for its
    processor would wait for each.
    """
    (rows, columns), (high, wide) = grid, stride
    numbers = torch.arange(rows * columns, device=device).view(rows, columns)
    corners = numbers[: rows // high * high : high, : columns // wide * wide : wide]
    return corners.flatten(), numbers[:high, :wide].flatten()


def _wide(index: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])


def _take(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return tokens.gather(1, _wide(index, tokens))

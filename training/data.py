"""The training data: scenes made up and drawn on the training device, without end.

A scene is a row of eight numbers (``spec``) and a row of uniform random numbers that say where, how large and how
turned (``chance``). What the captions say is in the spec alone, so the same chance with an edited spec is the same
image but for the edit: that is what the CLIP learns to tell apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from hasten.scenes import (
    COLOURS,
    COUNT_RULE,
    LAYOUTS,
    NUMBERS,
    PAIR_RULE,
    PATTERNS,
    THINGS,
    THINGS_IN,
    WITHHELD_ONE_IN,
    countable,
)

SIDE = 128
LAYOUT, A, B, C, COUNT, FIRST, SECOND, PATTERN = range(8)
ALONE, LEFT, ABOVE, ROW, SEVERAL = range(5)
SHARES = (0.26, 0.18, 0.18, 0.20, 0.18)
"""How often each layout comes."""
PATTERN_SHARES = (0.31, 0.23, 0.23, 0.23)
SLOTS, CHANCES = 4, 32
EDITS = 6

# where things stand, by mode: alone, side by side, one above the other, in a row, in the quarters
CENTRES = torch.tensor(
    [
        [(0, 0)] * 4,
        [(-0.48, 0), (0.48, 0), (0, 0), (0, 0)],
        [(0, -0.48), (0, 0.48), (0, 0), (0, 0)],
        [(-0.65, 0), (0, 0), (0.65, 0), (0, 0)],
        [(-0.48, -0.48), (0.48, -0.48), (0.48, 0.48), (-0.48, 0.48)],
    ]
)
ROOM = -1.0  # as far as the border allows
STRAY = torch.tensor([(ROOM, ROOM), (0.05, ROOM), (ROOM, 0.05), (0.03, ROOM), (0.05, 0.05)])
SMALLEST = torch.tensor([0.36, 0.38, 0.38, 0.29, 0.36])
MORE = torch.tensor([0.48, 0.15, 0.15, 0.06, 0.08])
TURN = 0.35


class Scenes:
    """Makes up specs of trained combinations, edits and draws them, all on ``device``."""

    def __init__(self, art: Path, device: str, seed: int = 0) -> None:
        rgba = torch.from_numpy(np.load(art)["art"]).to(device).float().permute(0, 3, 1, 2) / 255
        self.art = torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)
        self.device, self.random = device, torch.Generator(device).manual_seed(seed)
        self.colours = torch.tensor(list(COLOURS.values()), device=device).float() / 255
        self.countable = torch.tensor([i for i, t in enumerate(THINGS) if countable(t)], device=device)
        self.counts = torch.tensor([countable(t) for t in THINGS], device=device)
        self.named = torch.tensor([THINGS_IN[layout] for layout in LAYOUTS], device=device)
        self.modes = [t.to(device) for t in (CENTRES, STRAY, SMALLEST, MORE)]
        self.shares = [torch.tensor(shares, device=device) for shares in (SHARES, PATTERN_SHARES)]
        self.orders = torch.tensor([[1, 0, 2], [0, 2, 1], [2, 1, 0]], device=device)
        self.without = torch.tensor([[1, 2, 0], [0, 2, 1], [0, 1, 2]], device=device)
        self.turned = torch.tensor([SEVERAL, ABOVE, LEFT, ROW, ALONE], device=device)
        line = torch.linspace(-1, 1, SIDE, device=device)
        self.y, self.x = line[None, :, None], line[None, None, :]

    def uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, device=self.device, generator=self.random)

    def below(self, most: int, n: int, least: int = 0) -> torch.Tensor:
        """n whole numbers, ``least`` to ``most`` − 1."""
        return torch.randint(least, most, (n,), device=self.device, generator=self.random)

    def chance(self, n: int) -> torch.Tensor:
        """What decides places, sizes and turns of n images."""
        return self.uniform(n, CHANCES)

    # specs

    def sample(self, n: int, withheld: bool = False) -> torch.Tensor:
        """n specs of trained combinations; or of withheld ones only."""
        specs = self._any((16 if withheld else 4) * n + 64)  # one in four is withheld
        unwanted = self.withheld(specs) != withheld
        return specs[unwanted.int().argsort(stable=True)[:n]]  # a mask would wait for the device

    def _any(self, n: int) -> torch.Tensor:
        layout, pattern = (
            torch.multinomial(shares, n, replacement=True, generator=self.random) for shares in self.shares
        )
        things = self.uniform(n, len(THINGS)).topk(3, -1).indices
        several = layout == SEVERAL
        things[:, 0] = torch.where(several, self.countable[self.below(len(self.countable), n)], things[:, 0])
        first = self.below(len(COLOURS), n)
        second = torch.where(pattern == 0, first, (first + self.below(len(COLOURS), n, 1)) % len(COLOURS))
        count = torch.where(several, self.below(max(NUMBERS) + 1, n, min(NUMBERS)), 1)
        return self._tidy(torch.stack([layout, *things.unbind(1), count, first, second, pattern], 1))

    def _tidy(self, specs: torch.Tensor) -> torch.Tensor:
        """Things that the layout does not name are 0, so that equal scenes are equal rows."""
        specs = specs.clone()
        for slot in (B, C):
            specs[:, slot] *= self.named[specs[:, LAYOUT]] > slot - A
        return specs

    def withheld(self, specs: torch.Tensor) -> torch.Tensor:
        """``Scene.withheld`` of every row."""
        named = self.named[specs[:, LAYOUT]]
        found = (specs[:, LAYOUT] == SEVERAL) & (
            (specs[:, A] + 5 * specs[:, COUNT]) % WITHHELD_ONE_IN == COUNT_RULE
        )
        for slot in (A, B, C):
            for colour in (FIRST, SECOND):
                sum_ = specs[:, slot] + 5 * specs[:, colour] + 3 * specs[:, PATTERN]
                found |= (named > slot - A) & (sum_ % WITHHELD_ONE_IN == 0)
            for other in range(slot + 1, C + 1):
                pair = (specs[:, slot] + specs[:, other]) % WITHHELD_ONE_IN == PAIR_RULE
                found |= (named > other - A) & pair
        return found

    def _valid(self, specs: torch.Tensor) -> torch.Tensor:
        named, a, b, c = self.named[specs[:, LAYOUT]], *specs[:, A : C + 1].unbind(1)
        doubled = ((named > 1) & (a == b)) | ((named > 2) & ((a == c) | (b == c)))
        uncounted = (specs[:, LAYOUT] == SEVERAL) & ~self.counts[a]
        one_colour = (specs[:, PATTERN] > 0) & (specs[:, FIRST] == specs[:, SECOND])
        return ~(doubled | uncounted | one_colour)

    def key(self, specs: torch.Tensor) -> torch.Tensor:
        """One number a scene; stripes and checks in the same two colours are the same in either order."""
        low, high = specs[:, FIRST : SECOND + 1].sort(-1).values.unbind(1)
        mirrored = (specs[:, PATTERN] == 1) | (specs[:, PATTERN] == 2)
        first, second = torch.where(mirrored, low, specs[:, FIRST]), torch.where(mirrored, high, specs[:, SECOND])
        number = specs[:, LAYOUT]
        for part in (*specs[:, A : C + 1].unbind(1), specs[:, COUNT], first, second, specs[:, PATTERN]):
            number = number * 128 + part
        return number

    # families of scenes that differ in one point each

    def families(self, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``count`` trained scenes, each followed by ``size`` − 1 trained edits; a chance for each family."""
        base = self.sample(count)
        kinds = self.uniform(count, EDITS).argsort(-1)
        family = [base]
        for member in range(size - 1):
            made, good = self.sample(count), torch.zeros(count, dtype=torch.bool, device=self.device)
            for _ in range(4):
                edited = self.edit(base, kinds[:, member])
                fine = self._valid(edited) & ~self.withheld(edited) & (self.key(edited) != self.key(base)) & ~good
                made, good = torch.where(fine[:, None], edited, made), good | fine
            family.append(made)
        chances = self.chance(count).repeat_interleave(size, 0)
        return torch.stack(family, 1).flatten(0, 1), chances

    def edit(self, specs: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Every spec with one point changed: places swapped, another thing, pattern, colour, number, relation."""
        edits = (self._swapped, self._other, self._pattern, self._colour, self._number, self._relation)
        every = torch.stack([edit(specs.clone()) for edit in edits])
        return self._tidy(every[kinds, torch.arange(len(specs), device=self.device)])

    def _swapped(self, specs: torch.Tensor) -> torch.Tensor:
        """Two things in each other's place; where there is but one, another thing."""
        layout, n = specs[:, LAYOUT], len(specs)
        which = torch.where(layout == ROW, self.below(3, n), 0)
        swapped = specs.clone()
        swapped[:, A : C + 1] = specs[:, A : C + 1].gather(1, self.orders[which])
        single = ((layout == ALONE) | (layout == SEVERAL))[:, None]
        return torch.where(single, self._other(specs), swapped)

    def _other(self, specs: torch.Tensor) -> torch.Tensor:
        n = len(specs)
        slot = (self.uniform(n) * self.named[specs[:, LAYOUT]]).long() + A
        other = self.countable[self.below(len(self.countable), n)]
        return specs.scatter(1, slot[:, None], other[:, None])

    def _pattern(self, specs: torch.Tensor) -> torch.Tensor:
        n, was = len(specs), specs[:, PATTERN]
        pattern = (was + self.below(len(PATTERNS), n, 1)) % len(PATTERNS)
        fresh = (specs[:, FIRST] + self.below(len(COLOURS), n, 1)) % len(COLOURS)
        second = torch.where(was == 0, fresh, specs[:, SECOND])
        specs[:, SECOND] = torch.where(pattern == 0, specs[:, FIRST], second)
        specs[:, PATTERN] = pattern
        return specs

    def _colour(self, specs: torch.Tensor) -> torch.Tensor:
        """The second colour or, one time in three, the first; the only one of a plain background."""
        n, plain = len(specs), specs[:, PATTERN] == 0
        other = self.below(len(COLOURS), n)
        first = plain | (self.uniform(n) < 1 / 3)
        specs[:, FIRST] = torch.where(first, other, specs[:, FIRST])
        specs[:, SECOND] = torch.where(~first | plain, other, specs[:, SECOND])
        return specs

    def _number(self, specs: torch.Tensor) -> torch.Tensor:
        """One thing fewer; beside a lone one stands another; several are more or fewer."""
        n, layout = len(specs), specs[:, LAYOUT]
        drop = (self.uniform(n) * self.named[layout]).long()
        fewer = specs.clone()
        fewer[:, A : C + 1] = specs[:, A : C + 1].gather(1, self.without[drop])
        fewer[:, LAYOUT] = torch.where(layout == ROW, LEFT, ALONE)
        more = specs.clone()
        more[:, LAYOUT], more[:, B] = LEFT, self.below(len(THINGS), n)
        others = specs.clone()
        others[:, COUNT] = 2 + (specs[:, COUNT] - 2 + self.below(3, n, 1)) % 3
        chosen = torch.where((layout == ALONE)[:, None], more, fewer)
        return torch.where((layout == SEVERAL)[:, None], others, chosen)

    def _relation(self, specs: torch.Tensor) -> torch.Tensor:
        """Left of becomes above, a row another order, one of a thing several, and back."""
        layout = specs[:, LAYOUT]
        turned = specs.clone()
        turned[:, LAYOUT] = self.turned[layout]
        turned[:, COUNT] = torch.where(layout == ALONE, self.below(5, len(specs), 2), 1)
        return torch.where((layout == ROW)[:, None], self._swapped(specs), turned)

    # images

    @torch.no_grad()
    def draw(self, specs: torch.Tensor, chance: torch.Tensor, hide: torch.Tensor | None = None) -> torch.Tensor:
        """(n, 3, 128, 128) in −1 to 1; ``hide`` names for every image a slot that is left empty, or −1."""
        things, places, there = self._places(specs, chance)
        if hide is not None:
            there = there & (torch.arange(SLOTS, device=self.device) != hide[:, None])
        image = self._ground(specs, chance[:, 24:])
        for slot in range(SLOTS):
            thing = self._placed(things[:, slot], *places[:, slot].unbind(1))
            thing = thing * there[:, slot, None, None, None]
            image = thing[:, :3] + (1 - thing[:, 3:]) * image
        return image.clamp(0, 1) * 2 - 1

    def _places(self, specs: torch.Tensor, chance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Things (n, 4), their x, y, size, turn and mirroring (n, 4, 5), and whether they are there (n, 4)."""
        layout, count, n = specs[:, LAYOUT], specs[:, COUNT], len(specs)
        several = layout == SEVERAL
        split = torch.where(chance[:, 20] < 0.5, LEFT, ABOVE)
        three = torch.where(chance[:, 20] < 0.5, ROW, SEVERAL)
        mode = torch.where(
            several, torch.where(count == 2, split, torch.where(count == 3, three, SEVERAL)), layout
        )
        centres, stray, smallest, more = (table[mode] for table in self.modes)
        own = chance[:, :20].view(n, SLOTS, 5)
        size = torch.where(several[:, None], own[:, :1, 2], own[:, :, 2])
        size = smallest[:, None] + more[:, None] * size
        stray = torch.where(stray[:, None] == ROOM, (0.98 - size)[..., None], stray[:, None])
        quarter = (chance[:, 21] * 4).long()[:, None] * (mode == SEVERAL)[:, None]
        slot = (torch.arange(SLOTS, device=self.device) + quarter) % SLOTS
        centres = centres.gather(1, slot[..., None].expand(-1, -1, 2))
        where = centres + stray * (2 * own[:, :, :2] - 1)
        turn, mirror = TURN * (2 * own[:, :, 3] - 1), torch.where(own[:, :, 4] < 0.5, 1.0, -1.0)
        number = torch.where(several, count, self.named[layout])
        there = torch.arange(SLOTS, device=self.device) < number[:, None]
        things = torch.cat([specs[:, A : C + 1], specs[:, A : A + 1]], 1)
        things = torch.where(several[:, None], specs[:, A : A + 1], things)
        return things, torch.stack([*where.unbind(-1), size, turn, mirror], -1), there

    def _placed(self, thing: torch.Tensor, *place: torch.Tensor) -> torch.Tensor:
        x, y, size, turn, mirror = place
        c, s = turn.cos() / size, turn.sin() / size
        across = torch.stack([c * mirror, s * mirror, -(c * x + s * y) * mirror], -1)
        down = torch.stack([-s, c, s * x - c * y], -1)
        grid = F.affine_grid(torch.stack([across, down], 1), [len(thing), 4, SIDE, SIDE], align_corners=False)
        return F.grid_sample(self.art[thing], grid, align_corners=False, padding_mode="zeros")

    def _ground(self, specs: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
        """Stripes, checks and dots of free period, turn and phase, and a slight shade across."""
        full = 2 * torch.pi
        often, phase, other_phase, turn, shade = (chance[:, i, None, None] for i in range(5))
        often, phase, other_phase, turn = 5 + 6 * often, full * phase, full * other_phase, turn * full / 2
        u = self.x * turn.cos() + self.y * turn.sin()
        v = self.y * turn.cos() - self.x * turn.sin()
        su, sv = torch.sin(u * often + phase), torch.sin(v * often + other_phase)
        pattern = specs[:, PATTERN, None, None]
        level = torch.where(pattern == 1, su, torch.where(pattern == 2, 2 * su * sv, su + sv - 1.0))
        share = (torch.sigmoid(14 * level) * (pattern > 0))[:, None]
        first, second = (self.colours[specs[:, i]][:, :, None, None] for i in (FIRST, SECOND))
        slope = (0.02 + 0.1 * shade) * (self.x * other_phase.cos() + self.y * other_phase.sin())
        return first * (1 - share) + second * share + slope[:, None]

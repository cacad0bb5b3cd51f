"""The figures of docs/results/search.md from the result files of search_cost.py and verdicts.py.

    python benchmarks/search_report.py hasten-out/replays/*.jsonl --figure docs/images/search-regret.svg

Prints a table for each recorded one: trials and images until 98% of the best, trials until a target of 80, 90 and
95% of it is met, how far the chosen plan is off the best after so many images, and how many verdicts were wrong.
The figure shows that regret, mean over the seeds, against the images drawn. Runs that two files have count once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.search_cost import row as cost_row
from benchmarks.verdicts import row as verdict_row

BUDGETS = (16, 32, 64, 128, 256, 512, 1024)
"""Images."""
STRATEGIES = ("guided", "traversal", "random", "tpe", "nsga2", "gp")
COLOURS = ("#d62728", "#7f7f7f", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e")
WIDTH, HEIGHT, LEFT, TOP = 300, 190, 48, 30

Run = dict[str, Any]


def read(paths: Iterable[Path]) -> list[Run]:
    """All runs of the files; of the same run in two the later one."""
    lines = (line for path in paths for line in path.read_text(encoding="utf-8").splitlines() if line)
    runs = map(json.loads, lines)
    return list({("status" in r, r["table"], r["strategy"], r["seed"], r["aim"]): r for r in runs}.values())


def regret(runs: Sequence[Run], images: int) -> float:
    """How far the chosen plan is off the best after so many images, mean over the runs; a run that reached its aim
    is taken to stay there."""
    worth = [[worth for _, drawn, worth in r["path"] if drawn <= images][-1] for r in runs]
    return 1 - float(np.mean(worth))


def tables(runs: Sequence[Run]) -> Iterable[str]:
    """Markdown, table by table."""
    for table in dict.fromkeys(r["table"] for r in runs):
        own = [r for r in runs if r["table"] == table]
        yield f"\n{table}\n"
        searched, judged = ([r for r in own if ("status" in r) is told] for told in (False, True))
        if searched:
            yield "| strategy, seeds | 98% of the best | target 0.8 | 0.9 | 0.95 |"
            yield "| --- | --- | --- | --- | --- |"
        for strategy in STRATEGIES:
            best = [r for r in searched if r["strategy"] == strategy and r["aim"] is None]
            if best:
                yield cost_row(searched, strategy).replace(strategy, f"{strategy}, {len(best)}", 1)
        if searched:
            yield "\n| regret after images | " + " | ".join(map(str, BUDGETS)) + " |"
            yield "| --- |" + " --- |" * len(BUDGETS)
        for strategy in STRATEGIES:
            best = [r for r in searched if r["strategy"] == strategy and r["aim"] is None]
            if best:
                yield f"| {strategy} | " + " | ".join(f"{regret(best, b):.1%}" for b in BUDGETS) + " |"
        if judged:
            yield "\n| strategy | met | likely | infeasible | wrong of the met | too slow | too lossy |"
            yield "| --- | --- | --- | --- | --- | --- | --- |\n" + verdict_row(judged, "guided")


def figure(runs: Sequence[Run]) -> str:
    """SVG: a panel a table, a line a strategy."""
    own = [r for r in runs if "status" not in r and r["aim"] is None]
    names = list(dict.fromkeys(r["table"] for r in own))
    panels = [_panel(name, [r for r in own if r["table"] == name], i) for i, name in enumerate(names)]
    rows = (len(names) + 1) // 2
    legend = "".join(
        f'<text x="{LEFT + 85 * i}" y="14" fill="{colour}">{strategy}</text>'
        for i, (strategy, colour) in enumerate(zip(STRATEGIES, COLOURS, strict=True))
    )
    size = f'width="{2 * (WIDTH + LEFT)}" height="{rows * (HEIGHT + 60) + TOP}"'
    style = 'font-family="sans-serif" font-size="12"'
    white = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{white}{legend}{"".join(panels)}</svg>\n'


def _panel(name: str, runs: Sequence[Run], number: int) -> str:
    x0, y0 = LEFT + (number % 2) * (WIDTH + LEFT), TOP + 20 + (number // 2) * (HEIGHT + 60)
    budgets = np.unique(np.geomspace(8, 1024, 60).astype(int))
    lines = []
    for strategy, colour in zip(STRATEGIES, COLOURS, strict=True):
        own = [r for r in runs if r["strategy"] == strategy]
        if own:
            points = (_point(x0, y0, int(b), regret(own, int(b))) for b in budgets)
            lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(points)}"/>')
    for budget in (8, 32, 128, 512):
        x, y = _point(x0, y0, budget, 0).split(",")
        lines.append(f'<text x="{x}" y="{float(y) + 15:.0f}" text-anchor="middle">{budget}</text>')
    for off in (0.0, 0.2, 0.4, 0.6):
        x, y = _point(x0, y0, 8, off).split(",")
        lines.append(f'<text x="{float(x) - 5:.0f}" y="{float(y) + 4:.0f}" text-anchor="end">{off:.0%}</text>')
    frame = f'<rect x="{x0}" y="{y0}" width="{WIDTH - 20}" height="{HEIGHT}" fill="none" stroke="#ccc"/>'
    title = f'<text x="{x0}" y="{y0 - 6}">{name.split(" 0.0", maxsplit=1)[0]}: regret by images</text>'
    return frame + title + "".join(lines)


def _point(x0: int, y0: int, images: int, off: float) -> str:
    across = np.log(images / 8) / np.log(128) * (WIDTH - 20)
    return f"{x0 + across:.1f},{y0 + HEIGHT * (1 - min(max(off, 0.0), 0.7) / 0.7):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    runs = read(options.results)
    print("\n".join(tables(runs)))
    if options.figure:
        options.figure.write_text(figure(runs), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The page's plots: all trials by loss and speedup, and the raw times behind the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from hasten.records import EqualTime, Latency, Trial

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

GRID = "rgba(128,128,128,0.22)"


@dataclass(frozen=True)
class Look:
    """How a kind of trial is marked: by colour and by shape, so that neither alone matters."""

    name: str
    colour: str
    symbol: str
    size: int = 9


INSIDE = Look("within the limit", "#2f7de1", "circle")
OUTSIDE = Look("over the limit", "#d9822b", "square-open")
SKIPPED = Look("skipped: not worth scoring", "#8a919c", "circle-open")
FAILED = Look("failed", "#d64550", "x")
EQUAL = Look("equal-time baseline", "#9b5de5", "diamond", 14)
CHOSEN = Look("the answer, on held-out prompts", "#12a150", "star", 18)


def trials_plot(
    trials: Sequence[Trial],
    metric: str,
    limit: float | None,
    chosen: Trial | None = None,
    equal: EqualTime | None = None,
) -> Figure | None:
    """Speedup over loss, a point a trial; trials that were not scored stand in a lane of their own.

    Args:
        chosen: the trial that decided the answer, on held-out prompts.
        equal: the baseline with fewer steps.

    Returns:
        None when no trial has a latency.
    """
    from plotly.subplots import make_subplots

    timed = [t for t in trials if t.latency is not None]
    if not timed:
        return None
    lane = any(metric not in t.losses for t in timed)
    figure = make_subplots(cols=2 if lane else 1, shared_yaxes=True, column_widths=[0.88, 0.12] if lane else None)
    for look in (INSIDE, OUTSIDE, SKIPPED, FAILED):
        some = [t for t in timed if _look(t, metric, limit) is look]
        scored, rest = [t for t in some if metric in t.losses], [t for t in some if metric not in t.losses]
        _points(figure, look, scored, [t.losses[metric].loss for t in scored])
        _points(figure, look, rest, ["not scored"] * len(rest), column=2)
    for look, special in ((EQUAL, equal.trial if equal else None), (CHOSEN, chosen)):
        if special is not None and special.latency is not None and metric in special.losses:
            _points(figure, look, [special], [special.losses[metric].loss])
    if limit is not None:
        figure.add_vline(x=limit, line={"color": OUTSIDE.colour, "dash": "dash", "width": 1.5}, row=1, col=1)
        figure.add_annotation(
            x=limit, y=1, yref="y domain", text=f" limit {limit:g}", showarrow=False, xanchor="left", yanchor="top"
        )
    figure.update_xaxes(title_text=f"quality loss ({escape(metric)})", row=1, col=1)
    figure.update_yaxes(title_text="speedup", ticksuffix="x", row=1, col=1)
    return _styled(figure, 430)


def times_plot(latency: Latency) -> Figure:
    """Every timed run of baseline and plan, in the order they were made."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    rows = (
        ("baseline", OUTSIDE.colour, latency.baseline_times_s),
        ("accelerated", INSIDE.colour, latency.times_s),
    )
    for name, colour, times in rows:
        figure.add_trace(
            Scatter(
                x=list(range(1, len(times) + 1)),
                y=list(times),
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 1.5},
                marker={"size": 8},
                hovertemplate="pair %{x}: %{y:.4f} s<extra>" + name + "</extra>",
            )
        )
    figure.update_xaxes(title_text="timed pair", dtick=1)
    figure.update_yaxes(title_text="seconds a call", rangemode="tozero")
    return _styled(figure, 300)


def fragment(figure: Figure, name: str) -> str:
    """The plot as HTML; the library itself is in the page once."""
    html: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displayModeBar": False, "responsive": True},
    )
    return html


def _look(trial: Trial, metric: str, limit: float | None) -> Look:
    if trial.status == "failed":
        return FAILED
    if trial.status == "skipped" or metric not in trial.losses:
        return SKIPPED
    return INSIDE if limit is None or trial.losses[metric].loss < limit else OUTSIDE


def _points(figure: Figure, look: Look, trials: Sequence[Trial], losses: Sequence[Any], column: int = 1) -> None:
    from plotly.graph_objects import Scatter

    if not trials:
        return
    trace = Scatter(
        x=list(losses),
        y=[trial.speedup for trial in trials],
        name=look.name,
        legendgroup=look.name,
        showlegend=look.name not in {trace.name for trace in figure.data},
        mode="markers",
        marker={
            "color": look.colour,
            "symbol": look.symbol,
            "size": look.size,
            "line": {"width": 1.5, "color": look.colour},
        },
        text=[_hover(trial) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.add_trace(trace, row=1, col=column)


def _hover(trial: Trial) -> str:
    plan = escape(trial.plan).replace("+", "<br>+ ").replace(",", ", ")
    steps = f"{trial.steps} steps"
    losses = (f"{escape(name)} loss {loss.loss:.4f}" for name, loss in trial.losses.items())
    reason = [escape(trial.reason[:160])] if trial.reason else []
    return "<br>".join([f"<b>{plan}</b>", f"{trial.speedup:.2f}x at {steps}", *losses, *reason])


def _styled(figure: Figure, height: int) -> Figure:
    """Transparent, so that the page's light or dark ground shows; the text's colour is the page's (style.css)."""
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 16, "t": 36, "b": 52},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#7a7f87"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID)
    return figure

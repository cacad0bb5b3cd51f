"""Says in words what a fresh process measured."""

from __future__ import annotations

from hasten.answer import Answer
from hasten.records import told_loss


def fresh_sentence(answer: Answer) -> str:
    """Returns one sentence on the outcome of the verification, with the figures of the fresh process. It is empty
    where there is no script to verify."""
    if answer.verified is None:
        return "The script was not verified in a fresh process." if answer.script else ""
    outcome = answer.outcome or ("not refuted" if answer.verified else "refuted")
    figures = "; ".join(_figures(answer))
    told = f"The script was measured again in a fresh process and {_WORDS[outcome]}"
    return f"{told}: {figures}." if figures else f"{told}."


_WORDS = {"confirmed": "confirmed", "not refuted": "neither confirmed nor refuted", "refuted": "refuted"}


def _figures(answer: Answer) -> list[str]:
    trial = answer.fresh
    if trial is None or trial.latency is None:
        return []
    if not answer.speedup:
        return [f"{trial.latency.plan_s:.3g} s a call"]
    found = [_with(f"{trial.speedup:.2f}x as fast", trial.latency.between(".2f"))]
    found += [
        _with(f"{metric} {told_loss(loss.loss)}", loss.between(".4f")) for metric, loss in trial.losses.items()
    ]
    return found


def _with(figure: str, interval: str) -> str:
    return f"{figure} ({interval})" if interval else figure

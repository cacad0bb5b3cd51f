"""Answers and settings as a search leaves them, for scripts and reports. The figures are made up."""

from __future__ import annotations

from hasten.answer import Answer
from hasten.models import find_model
from hasten.models.base import Model
from hasten.plan import Plan
from hasten.records import Latency, Loss, Trial
from hasten.task import Setting, Target, Task

ENVIRONMENT = {
    "device": "cpu",
    "cpu": "AMD EPYC 7B13",
    "threads": "2",
    "torch": "2.13.0+cpu",
    "diffusers": "0.42.1",
    "transformers": "5.23.0",
    "accelerate": "1.14.0",
    "hasten": "0.1.0",
    "dtype": "float32",
}
PARAMETERS = {
    "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
    "tgate": {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warm_up": 2},
    "tome": {"ratio": 0.5, "max_downsample": 2, "sx": 2, "sy": 2},
}


def plan_of(*methods: str) -> Plan:
    return Plan.of({method: PARAMETERS[method] for method in methods})


def loss_of(metric: str, baseline: float, score: float) -> Loss:
    loss = (baseline - score) / baseline
    return Loss(
        metric=metric,
        baseline=baseline,
        score=score,
        loss=loss,
        interval=(loss - 0.004, loss + 0.004),
        baseline_scores=(baseline,) * 32,
        scores=(score,) * 32,
    )


def trial_of(
    plan: Plan, speedup: float = 2.1, score: float = 0.299, steps: int = 25, split: str = "held-out"
) -> Trial:
    latency = Latency(
        speedup=speedup,
        interval=(speedup * 0.98, speedup * 1.02),
        baseline_s=0.5,
        plan_s=0.5 / speedup,
        baseline_times_s=(0.5, 0.51, 0.49),
        times_s=(0.5 / speedup, 0.51 / speedup, 0.49 / speedup),
    )
    losses = {"clip_score": loss_of("clip_score", 0.3, score), "ssim": loss_of("ssim", 1.0, 0.91)}
    return Trial(plan=str(plan), steps=steps, split=split, latency=latency, losses=losses, environment=ENVIRONMENT)


def answer_of(
    plan: Plan, model: str = "emoji-sd", scheduler: str = "DDIM", steps: int = 25, **changes: object
) -> Answer:
    """A *met* answer. Its figures are those of ``trial_of``, or of the trial that ``changes`` confirm it by."""
    target = Target(speedup=2.0) if plan else None
    task = Task(model=model, scheduler=scheduler, steps=steps, methods=plan.methods, target=target)
    trial = trial_of(plan, steps=steps) if plan else trial_of(plan, 1.0, 0.3, steps)
    known = {"status": "met", "task": task, "trials": 12 if plan else 0, "confirmed": trial}
    return Answer(**{**known, **changes})


def setting_of(model: Model, scheduler: str = "DDIM", steps: int = 25, **changes: object) -> Setting:
    size = model.resolution
    values = {"height": size, "width": size, "guidance_scale": model.guidance_scale, **changes}
    return Setting(model=model.name, scheduler=scheduler, steps=steps, **values)  # type: ignore[arg-type]


def model_of(name: str) -> Model:
    return find_model(name)[1]

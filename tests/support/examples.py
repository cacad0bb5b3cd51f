"""Answers and settings as a search leaves them, for scripts and reports. The figures are made up."""

from __future__ import annotations

from hasten.models import find_model
from hasten.models.base import Model
from hasten.plan import Plan
from hasten.records import Answer, Latency, Loss, Trial
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
    target = Target(speedup=2.0) if plan else None
    task = Task(model=model, scheduler=scheduler, steps=steps, methods=plan.methods, target=target)
    if not plan:
        return Answer(status="met", task=task, latency_s=0.5).model_copy(update=changes)
    trial = trial_of(plan, steps=steps)
    assert trial.latency is not None
    return Answer(
        status="met",
        task=task,
        plan=str(plan),
        parameters=plan.parameters,
        speedup=trial.speedup,
        speedup_interval=trial.latency.interval,
        quality_loss=trial.losses["clip_score"].loss,
        quality_loss_interval=trial.losses["clip_score"].interval,
        baseline_latency_s=trial.latency.baseline_s,
        latency_s=trial.latency.plan_s,
        trials=12,
        confirmed=trial,
    ).model_copy(update=changes)


def setting_of(model: Model, scheduler: str = "DDIM", steps: int = 25, **changes: object) -> Setting:
    size = model.resolution
    values = {"height": size, "width": size, "guidance_scale": model.guidance_scale, **changes}
    return Setting(model=model.name, scheduler=scheduler, steps=steps, **values)  # type: ignore[arg-type]


def model_of(name: str) -> Model:
    return find_model(name)[1]

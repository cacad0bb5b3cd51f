"""Makes a pipeline fast that you have: ``tune`` finds a plan for it, ``accelerate`` installs one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from hasten.answer import Answer
from hasten.options import checked
from hasten.plan import Plan
from hasten.search import Listener, check_task, run_search
from hasten.task import target_of
from hasten.workflow.answers import answer_of
from hasten.workflow.checks import check_pipeline
from hasten.workflow.choices import Choices, asked
from hasten.workflow.opening import bench_around, pipeline_in, task_for

if TYPE_CHECKING:
    from hasten.methods import Handle


def tune(
    pipe: Any,
    *,
    steps: int | None = None,
    speedup: float | None = None,
    latency_s: float | str | None = None,
    latency: float | str | None = None,
    max_loss: float | Mapping[str, float] = 0.02,
    two_sided: bool = False,
    methods: str | Sequence[str] | None = None,
    progress: Listener | None = None,
    **choices: Unpack[Choices],
) -> Answer:
    """Finds the fastest plan for your pipeline, or a plan that meets a target. The pipeline stays as it was.

    Example::

        result = hasten.tune(pipe, steps=25, speedup=2.0, max_loss=0.02, methods=["deepcache", "tome"])
        with hasten.accelerate(pipe, result.plan):
            image = pipe("a strawberry on a blue background", num_inference_steps=25).images[0]

    Args:
        pipe: a diffusers pipeline, on its device.
        steps: denoising steps of a call; None: the usual number of its model, else the default of its call.
        speedup: the least speedup. Without it and ``latency_s``, the highest speedup is searched.
        latency_s: the most time an image may take, in seconds or as ``1.3s``; also ``latency``. At most one of it
            and ``speedup`` may be given.
        max_loss: the limit of the relative loss of the CLIP score, or limits by metric.
        two_sided: whether a score that rises by as much is over the limit too.
        methods: names of methods that are used together; None for any that support the pipeline.
        progress, choices: as in ``run``.

    Returns:
        The answer. Its ``plan`` is what ``accelerate`` takes.

    Raises:
        InputError: the pipeline, a name or a number cannot be used. Nothing was measured.
    """
    check_pipeline(pipe)
    given = checked({"steps": steps, "speedup": speedup, "latency_s": latency_s, "latency": latency})
    given |= checked({"max_loss": max_loss, "two_sided": two_sided, "methods": methods})
    target_of(given["speedup"], given["latency_s"])
    options, place = asked("tune", choices, progress, beside=given)
    pipeline = pipeline_in(pipe, given.pop("steps"), place)
    task = task_for(pipeline.setting, **given)
    check_task(task, pipe)
    with bench_around(pipeline, place) as bench:
        return answer_of(task, run_search(bench, task, options, progress))


def accelerate(pipe: Any, plan: str | Plan | Mapping[str, Any], steps: int | None = None) -> Handle:
    """Installs a plan on the pipeline, until the ``with`` block ends or the handle's ``.remove()`` is called.

    Example::

        handle = hasten.accelerate(pipe, "deepcache(cache_interval=3)+tome(ratio=0.5)")
        image = pipe("a strawberry on a blue background").images[0]
        handle.remove()

    Args:
        pipe: a diffusers pipeline. Other pipelines that share its denoiser are accelerated as well.
        plan: a plan, its text, or ``{"deepcache": {"cache_interval": 3}}``. Omitted parameters have their
            defaults.
        steps: denoising steps of a call, where known: the parameters are then checked against it.

    Raises:
        InputError: the method is unknown, a parameter is illegal, or the model cannot take the method. Nothing was
            changed.
    """
    from hasten.methods import apply  # needs torch, which the parent process of a batch does not import

    check_pipeline(pipe)
    return apply(pipe, plan, steps=checked({"steps": steps})["steps"])

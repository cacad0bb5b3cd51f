"""Writes the program of an answer from the skeletons beside this file."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hasten.answer import Answer
from hasten.errors import InputError, UnsupportedError
from hasten.language.render import render
from hasten.limits import Limits
from hasten.methods import METHODS, scheduler_of_plan, unfit
from hasten.models import FAMILIES, family_named, left_out_at, variant_of
from hasten.models.base import Family, Model
from hasten.options import checked
from hasten.plan import Plan
from hasten.records import between
from hasten.schedulers import find_scheduler
from hasten.script.claim import Claim, Runtime
from hasten.script.literals import assignment, in_docstring, labelled, literal
from hasten.script.upstream import Calls, upstream_calls
from hasten.task import Setting, Task

_PROMPTS = {"emoji": "a pineapple left of a fox on a blue background"}
_THREADS = "# The figures are those of so many CPU threads; torch itself would take another number."
_PROMPT = "a photo of an astronaut riding a horse"


def render_script(
    answer: Answer,
    setting: Setting,
    model: Model,
    *,
    runtime: Runtime = "hasten",
    command: str,
    environment: Mapping[str, str],
    request: str | None = None,
    seed: int = 0,
    allow_known_wrong: bool = False,
) -> str:
    """Returns the source of an answer's script.

    Args:
        answer: a met or likely answer, or the best feasible one of an infeasible answer.
        model: the model; for a local folder, a model whose ``source`` is the folder.
        runtime: ``hasten`` calls ``hasten.accelerate``, ``upstream`` calls the methods' own packages.
        command: the command that regenerates the script.
        environment: the environment of the claim; its versions become the script's requirements.
        request: the user's own sentence; None: the task's sentence.
        seed: the seed of the measurement.
        allow_known_wrong: write upstream scripts that are known to go wrong, with a warning in them.

    Raises:
        UnsupportedError: the family cannot take a method, or the upstream packages cannot do it or do it wrong.
        InputError: the answer has no plan, or there is no such runtime.
    """
    checked({"runtime": runtime})
    claim = Claim.of(answer, setting=setting, model=model, runtime=runtime, seed=seed, environment=environment)
    plan, family = Plan.parse(claim.plan), family_of_model(model)
    calls = upstream_calls(plan, setting, family.name, allow_known_wrong) if runtime == "upstream" else None
    if runtime == "hasten":
        _refuse_methods(plan, family)
    request = render(answer.task) if request is None else request
    skeleton = _SKELETONS.get_template(f"{runtime if plan else 'plain'}.py.jinja")
    return skeleton.render(
        requirements=_requirements(runtime, model, family, plan, environment, calls),
        header=_header(request, claim, family, environment, command),
        constants=_constants(request, claim, model, family, plan),
        **_calls(claim, model, family, plan, calls),
    )


def family_of_model(model: Model) -> Family:
    """Returns the family of a model. For a local folder it is the family that ``model_index.json`` names."""
    for family in FAMILIES.all():
        if model.name in {known.name for known in family.models}:
            return family
    if (found := family_named(model.source)) is not None:
        return found
    index = Path(model.source) / "model_index.json"
    try:
        pipeline = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{model.source} is no folder of a diffusers pipeline: {index.name}: {error}.") from None
    known = ", ".join(family.pipeline for family in FAMILIES.all())
    raise InputError(f"{model.source} holds a {pipeline}. Scripts are written for: {known}.")


def _refuse_methods(plan: Plan, family: Family) -> None:
    """Raises UnsupportedError for methods that the pipeline cannot take, in a plan that was not measured here."""
    for method in map(METHODS.get, plan.methods):
        if reason := unfit(method, family):
            raise UnsupportedError(f"{method.title} cannot be used on {family.title}: {reason}.")


LONGEST_NAME = 150
"""Longest part of a file name that describes the task, in bytes. File systems allow 255 bytes a name."""


def script_name(task: Task, runtime: Runtime = "hasten") -> str:
    """Returns a file name for the task's script: readable, safe on every file system, the same only for equal
    tasks.

    For example ``emoji-sd_ddim_25_deepcache_2x_1a2b3c.py``.
    """
    told = json.dumps([runtime, task.model_dump(mode="json", exclude={"assumptions"})], sort_keys=True)
    methods = "any" if task.methods is None else "-".join(task.methods) or "plain"
    parts = [
        _safe(re.split(r"[/\\]", task.model.rstrip("/\\"))[-1]),
        _safe(task.scheduler),
        str(task.steps),
        methods,
    ]
    parts += [_aim(task)] if _aim(task) else []
    parts += ["upstream"] if runtime == "upstream" else []
    return f"{'_'.join(parts)[:LONGEST_NAME]}_{hashlib.sha256(told.encode()).hexdigest()[:6]}.py"


_SKELETONS = Environment(
    loader=PackageLoader("hasten.script", "skeletons"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # Python, not HTML: user text only comes in through hasten.script.literals
)


def _requirements(
    runtime: Runtime,
    model: Model,
    family: Family,
    plan: Plan,
    environment: Mapping[str, str],
    calls: Calls | None,
) -> Iterable[str]:
    needs_hasten = model.embedded or (runtime == "hasten" and plan)
    names = ["accelerate", "diffusers", *(["hasten"] if needs_hasten else []), "torch", "transformers"]
    found = [f"{name}~={_release(environment.get(name) or version(name))}" for name in names]
    reading = () if model.embedded else family.packages
    own = [p for name in plan.methods if runtime == "hasten" for p in METHODS.get(name).packages]
    own += filter(None, map(METHODS.requirement, plan.methods))
    return sorted([*found, *reading, *own, *(calls.requirements if calls else ())], key=str.lower)


def _release(text: str) -> str:
    """Returns the release of a version, ``2.13.0`` of ``2.13.0+cpu``: a requirement cannot have the local part."""
    match = re.match(r"\d+(\.\d+)+", text)
    if not match:
        raise InputError(f"{text!r} is not the version of a package.")
    return match[0]


def _header(request: str, claim: Claim, family: Family, environment: Mapping[str, str], command: str) -> str:
    title = f"A {family.title} pipeline ({claim.model}) with {claim.scheduler} at {claim.steps} steps."
    measured = ", ".join(f"{key} {value}" for key, value in environment.items()) or "elsewhere, and not again here"
    lines = [labelled("", title, 0), "", labelled("Request", request), labelled("Plan", claim.plan)]
    lines += [labelled(label, text) for label, text in _claims(claim)]
    lines += [labelled("Measured", measured), labelled("Made by", command)]
    return in_docstring("\n".join(lines))


def _claims(claim: Claim) -> Iterable[tuple[str, str]]:
    if claim.speedup is not None:
        interval = between(claim.speedup_interval, ".2f", claim.confidence)
        times = (
            f": {claim.baseline_latency_s:.4g} s -> {claim.latency_s:.4g} s"
            if claim.baseline_latency_s and claim.latency_s
            else ""
        )
        yield "Claim", f"{claim.speedup:.2f}x as fast{f' ({interval})' if interval else ''}{times}"
    elif claim.latency_s is not None:
        yield "Claim", f"{claim.latency_s:.4g} s"
    for metric, loss in claim.losses.items():
        asked = Limits(claim.max_loss, claim.two_sided)
        limit = f", limit {asked[metric]:g}{asked.suffix}" if metric in asked else ""
        interval = between(claim.loss_intervals.get(metric), ".4f", claim.confidence)
        yield "", f"quality loss {loss:.4f}{f' ({interval})' if interval else ''} on {metric}{limit}"
    if claim.losses and not claim.samples:
        yield "", f"as a file has it, which the plan is from; nothing was measured here: {claim.status}"
    elif claim.losses:
        yield "", f"on {claim.samples} held-out prompts ({claim.prompts}), seed {claim.seed}: {claim.status}"


def _constants(request: str, claim: Claim, model: Model, family: Family, plan: Plan) -> str:
    scheduler = find_scheduler(claim.scheduler)
    call = {"height": claim.height, "width": claim.width, "guidance_scale": claim.guidance_scale}
    if claim.batch_size > 1:
        call["num_images_per_prompt"] = claim.batch_size
    call |= family.called_with(model)
    source = assignment("MODEL", model.source)
    if model.embedded:
        source = "# The weights ship inside the hasten package.\n"
        source += f"MODEL = str(embedded_folder({assignment('', model.source)[3:]}))"
    blocks = [assignment("REQUEST", request), assignment("CLAIM", claim.literal()), source]
    blocks += [assignment("SCHEDULER", scheduler.settings)] if scheduler.settings else []
    blocks += _plan_constants(claim.runtime, plan)
    small = {"STEPS": claim.steps, "DEVICE": claim.device, "DTYPE": claim.dtype, "SEED": 0}
    blocks += [assignment("CALL", call), *(assignment(name, value) for name, value in small.items())]
    if claim.threads is not None:
        blocks += [_THREADS, assignment("THREADS", claim.threads)]
    blocks.append(assignment("PROMPT", _PROMPTS.get(model.prompts, _PROMPT)))
    return "\n".join(blocks)


def _plan_constants(runtime: Runtime, plan: Plan) -> list[str]:
    if runtime == "upstream":
        given = plan.parameters
        if name := scheduler_of_plan(plan):
            given = {**given, "solver": find_scheduler(name).settings}
        return [assignment(name.upper(), parameters) for name, parameters in given.items()]
    return [assignment("PLAN", plan.parameters)] if plan else []


def _calls(claim: Claim, model: Model, family: Family, plan: Plan, calls: Calls | None) -> dict[str, Any]:
    scheduler = find_scheduler(claim.scheduler)
    variant = None if model.embedded else variant_of(model.source)
    followed = scheduler_of_plan(plan) if claim.runtime == "upstream" else ""
    solver = find_scheduler(followed).class_name if followed else ""
    return {
        "embedded": model.embedded,
        "threads": claim.threads is not None,
        "variant": literal(variant) if variant else "",
        "pipeline": family.pipeline,
        "scheduler": scheduler.class_name,
        "scheduler_settings": bool(scheduler.settings),
        "diffusers": ", ".join(sorted({scheduler.class_name, family.pipeline, solver} - {""})),
        "solver": solver,
        "left_out": () if model.embedded else left_out_at(model.source),
        "safety_checker": family.name == "stable_diffusion",
        "batch": claim.batch_size,
        "drawn": "image" if claim.batch_size == 1 else "images",
        "loader": calls.loader if calls else None,
        "deepcache": "deepcache" in plan.methods,
        "tome": "tome" in plan.methods,
        "fewer_steps": "fewer_steps" in plan.methods,
        "warnings": [line for fault in calls.faults for line in _warning(fault)] if calls else [],
    }


def _warning(fault: str) -> list[str]:
    return textwrap.wrap(f"WARNING: {fault}.", 80, subsequent_indent="  ")


def _aim(task: Task) -> str:
    if task.target is not None:
        speedup, latency_s = task.target.speedup, task.target.latency_s
        return f"{speedup:g}x" if speedup is not None else f"{latency_s:g}s"
    return "bound" if task.mode == "bound" else ""


def _safe(text: str) -> str:
    """Returns the text as lower-case ASCII letters, digits, dots, plus signs and hyphens, at most 40 of them."""
    return re.sub(r"[^a-z0-9.+]+", "-", text.lower())[:40].strip("-.") or "model"

"""Turns a task into the sentence that asks for it: ``parse(render(task))`` is the task, apart from assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from hasten.errors import InputError
from hasten.language._meaning import meant
from hasten.language._names import parameter_owners
from hasten.language._quality import DEFAULT_METRIC
from hasten.methods import METHODS
from hasten.metrics import METRICS
from hasten.models import model_names
from hasten.plan import Value
from hasten.schedulers import find_scheduler
from hasten.task import DEFAULT_MAX_LOSS, Task

Language = Literal["en", "zh"]


@dataclass(frozen=True)
class _Phrases:
    """The parts of a sentence. ``first`` introduces the first limit, ``more`` the limits that follow a goal."""

    plain: str
    accelerated: str
    any_method: str
    any_but: str
    losslessly: str
    one_of: str
    size: str
    guidance: str
    batch: str
    device: str
    dtype: str
    parameter: str
    brackets: str
    comma: str
    last: str
    speedup: str
    latency: str
    default_metric: str
    loss: str
    two_sided: str
    unlimited: str
    first: str
    more: str


_PHRASES = {
    "en": _Phrases(
        plain="Generate {article} {model} pipeline using the {scheduler} sampler with {steps} steps",
        accelerated=", accelerated by {}",
        any_method="any method",
        any_but="{} but not {}",
        losslessly="lossless, ",
        one_of="one of {}",
        size=" at height {height} and width {width}",
        guidance=", guidance scale {}",
        batch=", batch size {}",
        device=", on {}",
        dtype=", in {}",
        parameter="{} {}",
        brackets="{} ({})",
        comma=", ",
        last=" and ",
        speedup=" with {}x speedup",
        latency=" with at most {} s per image",
        default_metric="precision",
        loss="{} loss not exceeding {}",
        two_sided=" either way",
        unlimited="no loss limit",
        first=" with ",
        more=" and ",
    ),
    "zh": _Phrases(
        plain="使用{scheduler}采样器、{steps}步生成{model}流水线",
        accelerated="，用{}加速",
        any_method="任意方法",
        any_but="{}但不用{}",
        losslessly="无损，",
        one_of="{}任选其一",
        size="，高{height}、宽{width}",
        guidance="，引导系数{}",
        batch="，批大小{}",
        device="，在{}上",
        dtype="，以{}精度",
        parameter="{}为{}",
        brackets="{}（{}）",
        comma="、",
        last="和",
        speedup="{}倍",
        latency="，每张图不超过{}秒",
        default_metric="精度",
        loss="{}损失不超过{}",
        two_sided="（双侧）",
        unlimited="不限精度损失",
        first="，",
        more="，",
    ),
}


def render(task: Task, language: Language = "en") -> str:
    """Returns the canonical sentence of a task, English or Chinese.

    Raises:
        InputError: the language is another one, or no sentence says the task: a target without methods, parameters
            of a method that the task leaves out, a folder's name that would be read as something else.
        UnknownNameError: no request may name the scheduler, method or metric.
        ParameterError: a method has no such parameter, or a value is out of range.
    """
    say = _PHRASES[check_language(language)]
    _refuse_unsayable(task)
    model = _model(task.model)
    article, scheduler = "an" if model.startswith(tuple("aeiou")) else "a", find_scheduler(task.scheduler).name
    sentence = say.plain.format(article=article, model=model, scheduler=scheduler, steps=task.steps)
    sentence += _setting(task, say)
    if task.lossless:
        sentence = say.losslessly + sentence
    if task.methods != ():
        sentence += say.accelerated.format(_methods(task, say))
    target, limits = _target(task, say), _limits(task, say)
    lead = say.more if target else say.first
    sentence += target + (lead + say.more.join(limits) if limits else "")
    sentence += say.two_sided if task.two_sided else ""
    if model != task.model:
        _refuse_misread(sentence, task.model)
    return sentence


def check_language(name: str) -> Language:
    """Returns the language of that name. Raises InputError for any name but ``en`` and ``zh``."""
    if name not in _PHRASES:
        raise InputError(f"The language is {name!r}: allowed is 'en' or 'zh'.")
    return cast(Language, name)


def _refuse_unsayable(task: Task) -> None:
    if task.methods is not None and (strangers := set(task.parameters) - set(task.methods)):
        named = ", ".join(sorted(strangers))
        raise InputError(f"The task gives parameters of {named}, which is not among its methods. Add it to them.")
    if (task.height is None) != (task.width is None):
        raise InputError(f"The task has the height {task.height} and the width {task.width}: give both, or none.")
    if away := set(task.excluded) & set(task.parameters):
        raise InputError(
            f"The task excludes {', '.join(sorted(away))}, and gives parameters for it: do one of both."
        )
    if task.methods == () and task.target is not None:
        raise InputError(f"The task asks for {task.target} with no method. Name methods, or null for any.")
    for name, given in task.parameters.items():
        if not given:
            raise InputError(
                f"The task gives parameters of {name}, but none is in them. Name one, or leave it out."
            )
        METHODS.get(name).check(given, steps=task.steps)


def _refuse_misread(sentence: str, model: str) -> None:
    """Raises InputError where the sentence is read as another model. Only a folder's name may be arbitrary text:
    two spaces in it, for example, are read as one."""
    try:
        read = repr(meant(sentence).model)
    except InputError:
        read = "none"
    if read != repr(model):
        hint = "Name a folder by its path (./name) and with single spaces, or rename it."
        raise InputError(f"No sentence names the model {model!r}: it would be read as {read}. {hint}")


def _model(name: str) -> str:
    if name in model_names():
        return name
    for mark in "\"`'":
        if mark not in name:
            return f"{mark}{name}{mark}"
    raise InputError(f"The model {name!r} has every kind of quotation mark. Rename the folder.")


def _setting(task: Task, say: _Phrases) -> str:
    """Returns the phrases for the setting, besides scheduler and steps."""
    said = say.size.format(height=task.height, width=task.width) if task.height and task.width else ""
    said += say.guidance.format(_number(task.guidance_scale)) if task.guidance_scale is not None else ""
    said += say.batch.format(task.batch_size) if task.batch_size else ""
    said += say.device.format(task.device) if task.device else ""
    return said + (say.dtype.format(task.dtype) if task.dtype else "")


def _methods(task: Task, say: _Phrases) -> str:
    if task.methods is not None:
        named = _listed([_call(METHODS.get(name).title, [name], task, say) for name in task.methods], say)
        return say.one_of.format(named) if task.one_of else named
    called = _call(say.any_method, sorted(task.parameters), task, say)
    but = [METHODS.get(name).title for name in task.excluded]
    return say.any_but.format(called, _listed(but, say)) if but else called


def _call(title: str, owners: Sequence[str], task: Task, say: _Phrases) -> str:
    given = [
        (_spelled(name, owner, task), value)
        for owner in owners
        for name, value in task.parameters.get(owner, {}).items()
    ]
    pairs = [say.parameter.format(name, _number(value)) for name, value in given]
    return say.brackets.format(title, say.comma.join(pairs)) if pairs else title


def _spelled(name: str, owner: str, task: Task) -> str:
    """Returns the parameter's name. The method's name is put before it where several methods share the name and
    the task names no methods."""
    return f"{owner}_{name}" if task.methods is None and f"{owner}_{name}" in parameter_owners() else name


def _target(task: Task, say: _Phrases) -> str:
    if task.target is None:
        return ""
    if task.target.speedup is not None:
        return say.speedup.format(_number(task.target.speedup))
    return say.latency.format(_number(task.target.latency_s or 0))


def _limits(task: Task, say: _Phrases) -> list[str]:
    if not task.max_loss:
        return [say.unlimited]
    needed = task.mode in ("target", "bound") or task.two_sided or task.lossless
    spoken = task.max_loss if needed or task.max_loss != DEFAULT_MAX_LOSS else {}
    return [_loss(METRICS.canonical(metric), limit, say) for metric, limit in spoken.items()]


def _loss(metric: str, limit: float, say: _Phrases) -> str:
    return say.loss.format(say.default_metric if metric == DEFAULT_METRIC else metric, _number(limit))


def _listed(items: Sequence[str], say: _Phrases) -> str:
    *first, last = items
    return say.last.join(filter(None, [say.comma.join(first), last]))


def _number(value: Value) -> str:
    """Returns the shortest text that reads back as the same number or list of steps."""
    if isinstance(value, str):
        return value
    return repr(int(value)) if value == int(value) else repr(value)

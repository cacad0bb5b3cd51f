"""Other people's packages, installed: a folder on the path, with a module and what its dist-info says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

REST = '''
from hasten.denoisers import blocks_of
from hasten.methods.base import MAX_STEPS, Method, Parameter, State, Step


class Rest(Method):
    """The denoiser runs at every so many steps, and gives what it gave last at the others."""

    name = "rest"
    title = "Rest"
    summary = "lets the whole denoiser rest at some steps"
    paper = "none"
    aliases = ("resting steps",)
    order = 5
    replaces = ("features",)
    denoisers = ("unet", "transformer")

    def parameters(self, pipe=None, steps=None):
        most = steps or MAX_STEPS
        meaning = "the denoiser runs at every so many steps"
        return (Parameter("rest_interval", int, 1, most, min(2, most), 1, (2, 3), meaning),)

    def unsupported(self, pipe):
        if getattr(pipe, "unet", None) is None:
            return f"{type(pipe).__name__} has no unet"

    def install(self, pipe, parameters, patches):
        interval = int(parameters["rest_interval"])
        current = patches.listen(self, lambda: Resting(interval))
        patches.wrap(self, patches.denoiser, lambda *given, **more: current().wrapper(*given, **more))

    def steps(self, pipe, parameters, steps, refreshes=()):
        runs = {*range(0, steps, int(parameters["rest_interval"])), *refreshes}
        rests = Step(blocks=dict.fromkeys(blocks_of(pipe.unet), 0.0))
        return tuple(Step() if number in runs else rests for number in range(steps))


class Resting(State):
    def __init__(self, interval):
        self.interval, self.rests, self.kept = interval, False, None

    def start(self):
        self.kept = None

    def step(self, number):
        self.rests = number % self.interval > 0

    def wrapper(self, call_next, module, *args, **kwargs):
        if self.rests and self.kept is not None:
            self.did_reused = True
        else:
            self.kept = call_next(*args, **kwargs)
        return self.kept


METHOD = Rest()
'''
_HOOK = """
    kept_as = "errors of rests"

    def measure(self, drawing):
        plain, errors = drawing.latents(), {}
        for interval in (2, 3, 4):
            drawing.tell(f"what rests of interval {interval} cost")
            with drawing.installed({"rest_interval": interval}):
                errors[interval] = float((drawing.latents() - plain).abs().mean())
        return {"errors": errors}

    def measured_grid(self, found, steps):
        ranked = sorted(found["errors"], key=found["errors"].get)
        return {"rest_interval": tuple(sorted(map(int, ranked[:2])))}

"""
MEASURING = (
    REST.replace("class Rest(Method)", "class Rest(MeasuresGrid)")
    .replace("\n    def parameters", f"{_HOOK}    def parameters")
    .replace("from hasten.methods.base", "from hasten.methods import MeasuresGrid\nfrom hasten.methods.base")
)
"""The same method, which measures the grid that a search tries: the two intervals whose rests cost least."""
CONTRAST = '''
from hasten.metrics.base import Metric


class Contrast(Metric):
    """The standard deviation of an image's values."""

    name = "contrast"
    title = "Contrast"
    scale = "0 to 0.5"
    library = "torch"

    def scores(self, images, prompts, references, scorer):
        return [float(image.std()) for image in images]


METRIC = Contrast()
'''
HOUSE = """
from hasten.models.base import Family, Model

HOUSE = Model("House-SD", "./house", 64, 7.5, "emoji-clip", "emoji", aliases=("the model of the house",))
FAMILY = Family("house", "The house's", "StableDiffusionPipeline", "unet", "UNet2DConditionModel", (HOUSE,))
"""


def installed(
    folder: Path, name: str, modules: Mapping[str, str], entry_points: str, version: str = "1.2"
) -> Path:
    """The folder, to be put on the path, with a package of that name installed into it."""
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    return folder

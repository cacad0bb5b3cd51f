"""Pages of all kinds of answers: complete, self-contained, and safe against what is written in them."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image
from tests.support.examples import ENVIRONMENT, answer_of, loss_of, model_of, plan_of, setting_of, trial_of

from hasten.answer import Answer
from hasten.errors import InputError
from hasten.plan import Plan
from hasten.records import EqualTime, Trial, told_loss
from hasten.report import ReportImages, render_report
from hasten.report.chart import round_values
from hasten.report.images import picture
from hasten.report.plots import times_plot, trials_plot
from hasten.task import Target

PLAN = plan_of("deepcache", "tome")
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}"
VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """What a browser would see: elements, attributes, and the text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def some_trials() -> list[Trial]:
    trials = [
        trial_of(
            Plan.parse(f"deepcache(cache_branch_id=0,cache_interval={n})"),
            0.5 + n / 2,
            0.3 - n / 1000,
            split="search",
        )
        for n in (2, 3, 4, 9)
    ]
    skipped = {"status": "skipped", "reason": "slower than 2.10x", "losses": {}}
    failed = {"status": "failed", "reason": f"RuntimeError: {EVIL}", "losses": {}, "latency": None}
    return [
        *trials,
        trial_of(plan_of("tgate")).model_copy(update=skipped),
        trial_of(plan_of("tome")).model_copy(update=failed),
    ]


def met() -> Answer:
    fewer = trial_of(Plan(), 2.2, 0.305, steps=11)
    equal = EqualTime(steps=11, trial=fewer, plan_loses=("clip_score",))
    return answer_of(PLAN, equal_time=equal, script="out folder/a b.py", warnings=("fewer steps do better",))


def images(count: int = 2) -> ReportImages:
    drawn = [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(count)]
    return ReportImages([f"prompt {i} {EVIL}" for i in range(count)], drawn, drawn, drawn)


def page_of(answer: Answer, trials: list[Trial], shown: ReportImages, **changes: str) -> tuple[str, Page]:
    words = {"command": "hasten run '2x'", "request": "A request of <two> & more", **changes}
    html = render_report(answer, trials, setting_of(model_of("emoji-sd")), ENVIRONMENT, shown, **words)
    return html, Page(html)


def test_a_met_answer_has_every_part() -> None:
    _, page = page_of(met(), [*some_trials(), trial_of(PLAN, split="search")], images())
    for part in (
        "A request of <two> & more",
        "2.10x as fast at a quality loss of 0.0033",
        "95% interval 2.06 to 2.14",
        "deepcache(cache_branch_id=0, cache_interval=3) + tome(",
        "fewer steps do better",
        "Equal time, 11 steps",
        "slower than 2.10x",
        "AMD EPYC 7B13",
        "hasten run '2x'",
        "hasten verify 'a b.py'",
    ):
        assert part in page.text
    assert page.count("img") == 6
    rows = [attrs.get("class") for tag, attrs in page.tags if tag == "tr"]
    assert [c for c in rows if "chosen" in (c or "")] == ["chosen", "ok chosen"], (
        "in the comparison, and of the trials"
    )
    assert sum("skipped" in (c or "") for c in rows) == sum("failed" in (c or "") for c in rows) == 1


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("confirmed", "in a fresh process and confirmed: 2."),
        ("not refuted", "in a fresh process and neither confirmed nor refuted: 2."),
        ("refuted", "in a fresh process and refuted: 2."),
        (None, "The script was not verified in a fresh process."),
    ],
)
def test_the_outcome_of_the_verification_stands_beside_the_answer(outcome: str | None, words: str) -> None:
    fresh = {"verified": outcome != "refuted", "outcome": outcome, "fresh": trial_of(PLAN)} if outcome else {}
    _, page = page_of(met().model_copy(update=fresh), some_trials(), images())
    assert words in page.text
    assert page.text.index("fresh process") < page.text.index("All trials")


def test_a_script_that_died_in_the_fresh_process_has_no_figures_and_an_answer_without_one_no_sentence() -> None:
    died = {"verified": False, "outcome": "refuted"}
    _, page = page_of(met().model_copy(update=died), some_trials(), images())
    assert "measured again in a fresh process and refuted." in page.text
    _, page = page_of(answer_of(PLAN), some_trials(), images())
    assert "fresh process" not in page.text


def test_a_negative_loss_is_no_loss() -> None:
    trial = trial_of(PLAN, score=0.3 * 1.0007)
    _, page = page_of(met().model_copy(update={"confirmed": trial}), some_trials(), images())
    assert "2.10x as fast with no quality loss (\u22120.0007), measured" in page.text
    assert [told_loss(loss) for loss in (0.0033, 0.0, -0.00001, -0.0007)] == [
        *("0.0033", "0.0000", "0.0000", "no loss (\u22120.0007)")
    ]


def test_the_device_and_the_dtype_stand_in_one_place() -> None:
    html = render_report(
        met(),
        some_trials(),
        setting_of(model_of("emoji-sd")),
        {**ENVIRONMENT, "device": "cpu", "dtype": "float32"},
        images(),
        command="hasten",
    )
    for name in ("device", "dtype"):
        assert html.count(f'<th scope="row">{name}</th>') == 1


def test_nothing_is_requested_from_outside() -> None:
    """Every reference is data inside the page, and a policy forbids the rest."""
    _, page = page_of(met(), some_trials(), images())
    places = [a[k] for _, a in page.tags for k in ("src", "href", "data", "srcset", "action") if a.get(k)]
    assert places and all(place is not None and place.startswith("data:image/") for place in places)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "content" in a and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'")


def test_what_people_wrote_stays_text() -> None:
    answer = met().model_copy(update={"warnings": (EVIL,), "reason": EVIL})
    html, page = page_of(answer, some_trials(), images(), command=EVIL, request=EVIL)
    _, harmless = page_of(
        met(),
        some_trials(),
        ReportImages(["a"] * 2, images().reference, images().accelerated, images().equal_time),
    )
    assert page.count("script") == harmless.count("script")
    assert page.count("img") == harmless.count("img")
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert page.text.count("{{ 7 * 7 }}") >= 5 and ">49<" not in html


def test_an_infeasible_answer_shows_the_best() -> None:
    reason = "50x is out of reach here; the best within 0.02 is 2.10x"
    answer = Answer(status="infeasible", task=met().task, reason=reason, best=met())
    _, page = page_of(answer, some_trials(), images())
    assert "Out of reach" in page.text and reason in page.text
    assert "The best within the limit" in page.text and "2.10×" in page.text


SAYS = "The plain pipeline with 11 steps is as fast and does better: clip_score loss 0.0010 against 0.0033."


def test_the_comparison_with_fewer_steps_is_the_second_sentence() -> None:
    assert met().equal_time is not None
    equal = met().equal_time.model_copy(update={"says": SAYS, "dominates": True})
    _, page = page_of(met().model_copy(update={"equal_time": equal}), some_trials(), images())
    assert re.search(
        r"2\.10x as fast with what you asked for at a [^.]*\.\d+, .*?\. " + re.escape(SAYS), page.text
    )
    assert page.text.count(SAYS) == 1
    told = Answer(status="infeasible", task=met().task, reason="50x is out of reach.", best=met())
    best = met().model_copy(update={"equal_time": equal})
    _, page = page_of(told.model_copy(update={"best": best}), some_trials(), images())
    assert f"50x is out of reach. {SAYS}" in page.text


def test_fewer_steps_that_are_the_answer_stand_before_the_plan_that_they_replace() -> None:
    says = f"{PLAN}, 2.10x, is no faster and does worse: clip_score loss 0.0100 against 0.0010."
    assert met().equal_time is not None
    equal = met().equal_time.model_copy(update={"says": says, "dominates": True})
    fewer = Plan.of({"fewer_steps": {"reduced_steps": 11}})
    changes = {
        "equal_time": equal,
        "instead_of": met().confirmed,
        "confirmed": trial_of(fewer),
    }
    _, page = page_of(met().model_copy(update=changes), some_trials(), images())
    assert "2.10x as fast in 11 steps and without a method at a quality loss" in page.text
    assert f"Instead of: {str(PLAN).replace('+', ' + ').replace(',', ', ')}" in page.text and says in page.text


def test_an_undecided_answer_is_not_told_as_out_of_reach() -> None:
    reason = "2x was not found within 1 trial and 60 s, which is not all of the grid"
    answer = Answer(status="undecided", task=met().task, reason=reason, best=met(), warnings=("it takes longer",))
    _, page = page_of(answer, some_trials(), images())
    assert "Undecided" in page.text and reason in page.text and "it takes longer" in page.text
    assert "Out of reach" not in page.text and "The best within the limit so far" in page.text


def test_a_failed_answer_needs_no_figures() -> None:
    answer = Answer(status="failed", task=met().task, reason="every plan failed")
    html, page = page_of(answer, some_trials()[-1:], ReportImages())
    assert "Every plan failed" in page.text
    assert page.count("img") == 0 and len(html) < 50_000, "no chart"


def test_a_plain_pipeline_has_no_plots() -> None:
    answer = answer_of(Plan())
    shown = ReportImages(["a cat"], images(1).reference)
    html, page = page_of(answer, [answer.confirmed], shown)
    assert "The pipeline runs as it is, with no method: 0.5 s a call." in page.text
    assert page.count("img") == 1 and len(html) < 50_000, "no chart"


def test_a_request_is_rendered_from_the_task_where_none_is_given() -> None:
    html = render_report(met(), [], setting_of(model_of("emoji-sd")), ENVIRONMENT, ReportImages(), command="x")
    assert "emoji-sd" in re.findall(r"<h1>(.*?)</h1>", html)[0]


def test_every_timed_trial_is_a_mark_of_its_kind() -> None:
    chart = trials_plot(some_trials(), "clip_score", 0.02, met().confirmed, met().equal_time)
    assert chart is not None
    marks = {one.look.name: [(mark.x, mark.y) for mark in one.marks] for one in chart.series}
    assert marks["within the limit"] == [(pytest.approx(n / 300), 0.5 + n / 2) for n in (2, 3, 4)]
    assert marks["over the limit"] == [(pytest.approx(9 / 300), 5.0)]
    assert marks["skipped: not worth scoring"] == [(None, 2.1)] and chart.lane == "not scored"
    assert marks["the answer, on held-out prompts"][0][1] == 2.1
    assert marks["equal-time baseline"][0][1] == 2.2
    assert "failed" not in marks, "it has no latency, so it has no place on the chart"
    assert [(guide.axis, guide.at) for guide in chart.guides] == [("y", 1.0), ("x", 0.02)]


def test_a_failed_trial_with_a_latency_is_shown_as_failed() -> None:
    trial = trial_of(PLAN).model_copy(update={"status": "failed", "reason": "NaN", "losses": {}})
    chart = trials_plot([trial], "clip_score", 0.02)
    assert chart is not None
    assert [(one.look.name, one.look.symbol) for one in chart.series] == [("failed", "cross")]


def test_no_trials_no_plot() -> None:
    assert trials_plot([], "clip_score", 0.02) is None


@pytest.mark.parametrize("speedup", [0.6, 1.0, 2.0, 7.5])
def test_the_axes_of_a_single_trial_show_the_baseline_the_limit_and_the_target(speedup: float) -> None:
    chart = trials_plot([trial_of(PLAN, speedup, 0.2995)], "clip_score", 0.02, target=3.0)
    assert chart is not None
    assert chart.y.low < min(1.0, speedup) and chart.y.high > max(3.0, speedup)
    assert chart.x.low < 0 and chart.x.high > 0.02
    assert {1.0, 3.0} <= {tick for tick in chart.y.ticks if tick == int(tick)} and len(chart.x.ticks) >= 3
    assert {guide.label for guide in chart.guides} == {"baseline, 1x", "asked for: 3x", "limit 0.02"}


def test_the_target_in_seconds_is_drawn_as_a_speedup() -> None:
    """0.5 s a call of two images, at most 0.1 s an image: two and a half times as fast."""
    task = met().task.model_copy(update={"target": Target(latency_s=0.1)})
    html = render_report(
        met().model_copy(update={"task": task}), some_trials(), setting_of(model_of("emoji-sd"), batch_size=2),
        ENVIRONMENT, ReportImages(), command="x",
    )  # fmt: skip
    assert "asked for: 2.5x" in Page(html).text


def test_one_bad_plan_does_not_press_the_others_into_a_corner() -> None:
    chart = trials_plot([*some_trials(), trial_of(PLAN, 3.0, 0.06)], "clip_score", 0.02)
    assert chart is not None and chart.x.high < 0.11 and "larger ones at the edge" in chart.x.title
    bad = next(mark for one in chart.series for mark in one.marks if mark.x is not None and mark.x > 0.5)
    assert chart.across(bad.x) == chart.right and "clip_score loss 0.8000" in bad.told


@pytest.mark.parametrize(("low", "high"), [(0.94, 2.06), (-0.001, 0.021), (0, 7300), (0.5, 7.5), (-3e-9, 2e-9)])
def test_ticks_are_round_and_a_few(low: float, high: float) -> None:
    ticks = round_values(low, high)
    assert 3 <= len(ticks) <= 9 and all(low <= tick <= high for tick in ticks)
    step = ticks[1] - ticks[0]
    assert float(f"{step:.3g}") in {factor * 10.0**power for factor in (1, 2, 5) for power in range(-10, 5)}


def test_raw_times_are_all_shown() -> None:
    latency = trial_of(PLAN).latency
    assert latency is not None
    drawn = times_plot(latency)
    assert [tuple(mark.y for mark in one.marks) for one in drawn.series] == [
        latency.baseline_times_s,
        latency.times_s,
    ]
    assert drawn.y.low == 0 and drawn.x.ticks == (1, 2, 3)


def test_every_mark_is_drawn_within_the_chart_and_tells_what_it_is() -> None:
    html, _ = page_of(met(), some_trials(), ReportImages())
    drawn = [ElementTree.fromstring(svg) for svg in re.findall(r"(?s)<svg[^>]*role=.*?</svg>", html)]
    assert [svg.attrib["aria-label"][:7] for svg in drawn] == ["Speedup", "Seconds"]
    for svg in drawn:
        width, height = map(float, svg.attrib["viewBox"].split()[2:])
        for series in (group for group in svg if group.get("class") == "series"):
            for mark in (group for group in series if group.tag == "g"):
                x, y = map(float, re.findall(r"translate\(([\d.]+) ([\d.]+)\)", mark.attrib["transform"])[0])
                assert 0 < x < width and 0 < y < height
                assert re.search(r"\d (s|x)\b|\dx at", str(mark.findtext("title")))


def test_what_a_mark_tells_cannot_carry_markup() -> None:
    trial = trial_of(PLAN).model_copy(update={"reason": EVIL, "losses": {EVIL: loss_of("x", 1.0, 0.9)}})
    answer = met().model_copy(update={"task": met().task.model_copy(update={"max_loss": {EVIL: 0.2}})})
    html, page = page_of(answer, [trial], ReportImages())
    assert page.count("script") == 1 and page.count("img") == 0
    assert "</script><script>" not in html


def test_a_report_of_many_trials_and_large_pictures_is_well_below_a_megabyte() -> None:
    """Twelve pictures of 1024 pixels with as much detail as photographs have, and 200 trials."""
    rows, columns = torch.meshgrid(torch.linspace(0, 9, 1024), torch.linspace(0, 7, 1024), indexing="ij")
    smooth = torch.stack([rows.sin(), columns.cos(), (rows * columns).sin()]) / 2 + 0.5
    grain = torch.rand(3, 1024, 1024, generator=torch.Generator().manual_seed(0)) * 0.1
    drawn = [(smooth.roll(97 * i, 1) * 0.9 + grain) for i in range(4)]
    html, _ = page_of(met(), some_trials() * 33, ReportImages(["a"] * 4, drawn, drawn, drawn))
    assert len(html) < 800_000, len(html)
    assert html.count("data:image/webp") == 12


@pytest.mark.parametrize("kind", ["tensor", "pillow"])
def test_pictures_keep_their_pixels(kind: str) -> None:
    pixels = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(0))
    bytes_ = (pixels * 255).round().byte()
    image = pixels if kind == "tensor" else Image.fromarray(bytes_.permute(1, 2, 0).numpy())
    found = picture(image)
    assert (found.width, found.height, found.small) == (12, 8, True)
    drawn = Image.open(BytesIO(base64.b64decode(found.uri.partition(",")[2])))
    assert drawn.tobytes() == bytes_.permute(1, 2, 0).numpy().tobytes()


def test_a_large_picture_is_made_smaller_and_the_original_is_left_alone() -> None:
    original = Image.new("RGB", (1024, 768), "red")
    found = picture(original)
    assert (found.width, found.height, found.small) == (384, 288, False)
    assert original.size == (1024, 768)


def test_images_without_prompts_are_a_clear_error() -> None:
    with pytest.raises(InputError, match="2 reference images for 1 prompts"):
        ReportImages(["a"], [torch.zeros(3, 8, 8)] * 2)

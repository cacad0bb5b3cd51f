# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "accelerate~=1.14.0",
#     "diffusers~=0.42.1",
#     "hasten~=0.1.0",
#     "torch~=2.13.0",
#     "transformers~=5.23.0",
# ]
# ///
"""A Stable Diffusion pipeline (emoji-sd) with UniPC at 25 steps.

Request   Generate an emoji-sd pipeline using the UniPC sampler with 25 steps,
          accelerated by DeepCache with 2x speedup and precision loss not exceeding 0.02
Plan      deepcache(cache_branch_id=0,cache_interval=3)
Claim     2.10x as fast (95% interval 2.06 to 2.14): 0.5 s -> 0.2381 s
          quality loss 0.0033 (95% interval -0.0007 to 0.0073) on clip_score, limit 0.02
          quality loss 0.0900 (95% interval 0.0860 to 0.0940) on ssim
          on 32 held-out prompts (emoji), seed 0: met
Measured  device cpu, cpu AMD EPYC 7B13, threads 2, torch 2.13.0+cpu, diffusers 0.42.1,
          transformers 5.23.0, accelerate 1.14.0, hasten 0.1.0, dtype float32
Made by   hasten run "Generate an emoji-sd pipeline using the UniPC sampler with 25
          steps, accelerated by DeepCache with 2x speedup and precision loss not
          exceeding 0.02" --runtime hasten
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import hasten
import torch
from diffusers import StableDiffusionPipeline, UniPCMultistepScheduler
from hasten.models import embedded_folder

REQUEST = (
    "Generate an emoji-sd pipeline using the UniPC sampler with 25 steps, accelerated "
    "by DeepCache with 2x speedup and precision loss not exceeding 0.02"
)
CLAIM = {
    "hasten": "0.1.0",
    "runtime": "hasten",
    "status": "met",
    "model": "emoji-sd",
    "scheduler": "UniPC",
    "steps": 25,
    "height": 128,
    "width": 128,
    "guidance_scale": 2.0,
    "batch_size": 1,
    "dtype": "float32",
    "device": "cpu",
    "plan": "deepcache(cache_branch_id=0,cache_interval=3)",
    "target": {"speedup": 2.0},
    "speedup": 2.1,
    "speedup_interval": [2.058, 2.142],
    "baseline_latency_s": 0.5,
    "latency_s": 0.238095,
    "max_loss": {"clip_score": 0.02},
    "losses": {"clip_score": 0.00333333, "ssim": 0.09},
    "loss_intervals": {
        "clip_score": [-0.000666667, 0.00733333],
        "ssim": [0.086, 0.094],
    },
    "confidence": 0.95,
    "prompts": "emoji",
    "scorer": "emoji-clip",
    "samples": 32,
    "seed": 0,
    "environment": {
        "device": "cpu",
        "cpu": "AMD EPYC 7B13",
        "threads": "2",
        "torch": "2.13.0+cpu",
        "diffusers": "0.42.1",
        "transformers": "5.23.0",
        "accelerate": "1.14.0",
        "hasten": "0.1.0",
        "dtype": "float32",
    },
}
# The weights ship inside the hasten package.
MODEL = str(embedded_folder("emoji-sd"))
PLAN = {"deepcache": {"cache_branch_id": 0, "cache_interval": 3}}
CALL = {"height": 128, "width": 128, "guidance_scale": 2.0}
STEPS = 25
DEVICE = "cpu"
DTYPE = "float32"
SEED = 0
PROMPT = "a pineapple left of a fox on a blue background"


def load_pipeline(model=MODEL, device=DEVICE, dtype=DTYPE):
    """The pipeline as it is, with the scheduler of the request."""
    pipe = StableDiffusionPipeline.from_pretrained(
        model,
        torch_dtype=getattr(torch, dtype),
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def accelerate(pipe):
    """Installs the plan; the handle's ``remove()``, or leaving ``with``, undoes it."""
    return hasten.accelerate(pipe, PLAN)


def generate(pipe, prompt, steps=STEPS, seed=SEED):
    """An image of the prompt; the same seed draws the same."""
    generator = torch.Generator("cpu").manual_seed(seed)
    result = pipe(prompt, num_inference_steps=steps, generator=generator, **CALL)
    return result.images[0]


def timed(pipe, args):
    """Seconds of one call; the image it returns is on the CPU, so the device is done."""
    start = time.perf_counter()
    generate(pipe, args.prompt, args.steps, args.seed)
    return time.perf_counter() - start


def benchmark(args):
    """Baseline and accelerated in turn, so that what slows the machine slows both."""
    pipe = load_pipeline(args.model, args.device, args.dtype)
    baseline, accelerated = [], []
    for _ in range(args.pairs + 1):
        baseline.append(timed(pipe, args))
        with accelerate(pipe):
            accelerated.append(timed(pipe, args))
    # The first pair only warmed up.
    return {"baseline_times_s": baseline[1:], "times_s": accelerated[1:]}


def report(result, as_json):
    baseline = statistics.median(result["baseline_times_s"])
    accelerated = statistics.median(result["times_s"])
    speedup = baseline / accelerated
    if as_json:
        print(json.dumps({"speedup": speedup, **result}))
        return
    print(f"{speedup:.2f}x: {baseline:.3f} s -> {accelerated:.3f} s")
    print("baseline (s):   ", *(f"{t:.3f}" for t in result["baseline_times_s"]))
    print("accelerated (s):", *(f"{t:.3f}" for t in result["times_s"]))


def main():
    parser = argparse.ArgumentParser(description="Draws an image, or measures itself.")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--output", type=Path, default=Path("image.png"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--model", default=MODEL, help="a folder or hub id of its kind")
    parser.add_argument("--device", default=DEVICE, help="cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--dtype", default=DTYPE, choices=["float32", "float16", "bfloat16"]
    )
    parser.add_argument("--benchmark", action="store_true", help="time it")
    parser.add_argument("--pairs", type=int, default=7, help="timed runs of each")
    parser.add_argument("--json", action="store_true", help="the benchmark as JSON")
    args = parser.parse_args()
    if args.steps < 1 or args.pairs < 1:
        parser.error("--steps and --pairs must be at least 1")

    if args.benchmark:
        report(benchmark(args), args.json)
        return
    pipe = load_pipeline(args.model, args.device, args.dtype)
    with accelerate(pipe):
        image = generate(pipe, args.prompt, args.steps, args.seed)
    image.save(args.output)
    print(f"{args.output}: {args.prompt}")


if __name__ == "__main__":
    main()

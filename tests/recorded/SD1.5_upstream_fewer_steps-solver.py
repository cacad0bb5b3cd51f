# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "accelerate~=1.14.0",
#     "diffusers~=0.42.1",
#     "torch~=2.13.0",
#     "transformers~=5.23.0",
# ]
# ///
"""A Stable Diffusion pipeline (SD1.5) with DDIM at 50 steps.

Request   Generate a SD1.5 pipeline using the DDIM sampler with 50 steps, accelerated by
          Fewer steps and Another solver with 2x speedup and precision loss not
          exceeding 0.02
Plan      fewer_steps(reduced_steps=20)+solver(swap=to_unipc)
Claim     2.10x as fast (95% interval 2.06 to 2.14): 0.5 s -> 0.2381 s
          quality loss 0.0033 (95% interval -0.0007 to 0.0073) on clip_score, limit 0.02
          quality loss 0.0900 (95% interval 0.0860 to 0.0940) on ssim
          on 32 held-out prompts (general), seed 0: met
Measured  device cpu, cpu AMD EPYC 7B13, threads 2, torch 2.13.0+cpu, diffusers 0.42.1,
          transformers 5.23.0, accelerate 1.14.0, hasten 0.1.0, dtype float32
Made by   hasten run "Generate a SD1.5 pipeline using the DDIM sampler with 50 steps,
          accelerated by Fewer steps and Another solver with 2x speedup and precision
          loss not exceeding 0.02" --runtime upstream
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UniPCMultistepScheduler

REQUEST = (
    "Generate a SD1.5 pipeline using the DDIM sampler with 50 steps, accelerated by "
    "Fewer steps and Another solver with 2x speedup and precision loss not exceeding "
    "0.02"
)
CLAIM = {
    "hasten": "0.1.0",
    "runtime": "upstream",
    "status": "met",
    "model": "SD1.5",
    "scheduler": "DDIM",
    "steps": 50,
    "height": 512,
    "width": 512,
    "guidance_scale": 7.5,
    "batch_size": 1,
    "dtype": "float32",
    "device": "cpu",
    "plan": "fewer_steps(reduced_steps=20)+solver(swap=to_unipc)",
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
    "prompts": "general",
    "scorer": "laion/CLIP-ViT-g-14-laion2B-s34B-b88K",
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
MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"
FEWER_STEPS = {"reduced_steps": 20}
SOLVER = {}
CALL = {"height": 512, "width": 512, "guidance_scale": 7.5}
STEPS = 50
DEVICE = "cpu"
DTYPE = "float32"
SEED = 0
PROMPT = "a photo of an astronaut riding a horse"


def load_pipeline(model=MODEL, device=DEVICE, dtype=DTYPE):
    """The pipeline as it is, with the scheduler of the request."""
    pipe = StableDiffusionPipeline.from_pretrained(
        model,
        torch_dtype=getattr(torch, dtype),
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def accelerate(pipe):
    """Patches the pipeline for good: load another one for the baseline."""
    # Betas, prediction type and spacing stay those of the pipeline's own scheduler, also where these are defaults.
    config = dict(pipe.scheduler.config)
    config.pop("_use_default_values", None)
    pipe.scheduler = UniPCMultistepScheduler.from_config(config, **SOLVER)
    pipe.reduced_steps = FEWER_STEPS["reduced_steps"]
    return pipe


def generate(pipe, prompt, steps=STEPS, seed=SEED):
    """An image of the prompt; the same seed draws the same."""
    generator = torch.Generator("cpu").manual_seed(seed)
    steps = min(steps, getattr(pipe, "reduced_steps", steps))
    call = dict(CALL, num_inference_steps=steps, generator=generator)
    result = pipe(prompt, **call)
    return result.images[0]


def timed(pipe, args):
    """Seconds of one call; the image it returns is on the CPU, so the device is done."""
    start = time.perf_counter()
    generate(pipe, args.prompt, args.steps, args.seed)
    return time.perf_counter() - start


def benchmark(args):
    """Baseline and accelerated in turn, so that what slows the machine slows both."""
    pipe = load_pipeline(args.model, args.device, args.dtype)
    fast = accelerate(load_pipeline(args.model, args.device, args.dtype))
    baseline, accelerated = [], []
    for _ in range(args.pairs + 1):
        baseline.append(timed(pipe, args))
        accelerated.append(timed(fast, args))
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
    accelerate(pipe)
    image = generate(pipe, args.prompt, args.steps, args.seed)
    image.save(args.output)
    print(f"{args.output}: {args.prompt}")


if __name__ == "__main__":
    main()

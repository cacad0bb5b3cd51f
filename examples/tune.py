"""Finds the fastest plan of DeepCache that keeps the CLIP score within 2%, and draws with it."""

import hasten
from hasten.models import load_pipeline

pipe = load_pipeline("emoji-sd")
result = hasten.tune(pipe, steps=25, speedup=1.5, max_loss=0.02, methods=["deepcache"])
print(result.status, result.plan, result.speedup, result.quality_loss, result.reason)
with hasten.accelerate(pipe, result.plan):
    image = pipe("a strawberry on a blue background", num_inference_steps=25, guidance_scale=2.0).images[0]
image.save("strawberry.png")

"""The rows of the matrix."""

from __future__ import annotations

from tests.beside import pipelines, situations
from tests.beside.situations import Situation

from hasten.testing.generating import FAMILIES, UNETS

PERTURBED = tuple(pipelines.PAG)
ADAPTED = tuple(family for family in FAMILIES if family != "pixart")
"""The families whose denoisers take adapters in diffusers."""

WEIGHTS = (
    Situation("`load_state_dict` with other weights", change=situations.load_state_dict),
    Situation("weights added to in place, by `.data`", change=situations.add_to_data),
    Situation("`fuse_qkv_projections`", change=situations.fuse_projections),
    Situation("`save_pretrained`, and what was saved loaded again", change=situations.save_and_load),
    Situation("`from_pipe`, and the new pipeline draws", change=situations.from_pipe),
    Situation("`pipe.to(torch.bfloat16)`", change=situations.to_bfloat16),
    Situation("`enable_layerwise_casting`", change=situations.cast_by_layers),
    Situation("a LoRA is loaded, and gets another scale", ADAPTED, change=situations.scale_lora, needs="peft"),
    Situation("`fuse_lora`", ADAPTED, change=situations.fuse_lora, needs="peft"),
    Situation("`unfuse_lora`, `unload_lora`", ADAPTED, change=situations.unfuse_and_unload_lora, needs="peft"),
)
HOOKS = (
    Situation("`enable_model_cpu_offload`, a call, `remove_all_hooks`", change=situations.offload_models_and_stop),
    Situation(
        "offload of each layer (accelerate's `cpu_offload`), a call, its hooks removed",
        change=situations.offload_layers_and_stop,
    ),
    Situation("`enable_group_offload`", change=situations.offload_groups),
    Situation("`enable_cache`, `disable_cache`", ("flux",), change=situations.cache_and_stop),
    Situation("`enable_freeu`", UNETS, change=situations.free_u),
    Situation("`set_attn_processor`", UNETS, change=situations.other_processors),
)
CALLS = (
    Situation("a call for a gradient at each step", calls=situations.with_gradient),
    Situation("`copy.deepcopy` of the denoiser", calls=situations.a_copy),
    *(
        Situation("perturbed-attention guidance alone", (f,), calls=pipelines.perturbed(f, guidance_scale=1.0))
        for f in PERTURBED
    ),
    *(
        Situation("guidance and perturbed-attention guidance", (f,), calls=pipelines.perturbed(f))
        for f in PERTURBED
    ),
    *(
        Situation("InstructPix2Pix", (f,), before=pipelines.widened, calls=pipelines.by_image(f))
        for f in pipelines.BY_IMAGE
    ),
    Situation("several edits at once (SEGA)", ("sd",), calls=pipelines.several_edits),
    Situation("Panorama", ("sd",), calls=pipelines.panorama),
    Situation("self-attention guidance", ("sd",), calls=pipelines.self_attention_guidance),
    Situation("Attend-and-Excite", ("sd",), calls=pipelines.attend_and_excite),
    Situation("skip-layer guidance", ("sd3",), calls=pipelines.skip_layers),
    Situation("guidance in two calls (`true_cfg_scale`)", ("flux",), calls=pipelines.true_guidance),
    *(
        Situation(f"modular pipeline, `{guider}`", (f,), calls=pipelines.modular(f, guider, **given))
        for f, guider, given in (
            ("sdxl", "ClassifierFreeGuidance", {"guidance_scale": 5.0}),
            (
                "sdxl",
                "PerturbedAttentionGuidance",
                {"perturbed_guidance_layers": [0], "perturbed_guidance_config": None},
            ),
            ("flux", "ClassifierFreeGuidance", {"guidance_scale": 5.0}),
            ("flux", "SkipLayerGuidance", {"skip_layer_guidance_layers": [1], "skip_layer_guidance_start": 0.0}),
        )
    ),
)
SITUATIONS = (*WEIGHTS, *HOOKS, *CALLS)

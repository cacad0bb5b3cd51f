"""Names of attributes that tell where something comes from, or what the last call left, and not what it does."""

from __future__ import annotations

from typing import Any

WIDE = "pipeline"
"""The entry that is missing in old identities, which were of the denoiser's weights alone."""
PLAIN = (bool, int, float, complex, str, bytes, type(None))

ORIGIN = frozenset(
    {
        "_name_or_path",
        "name_or_path",
        "_commit_hash",
        "_diffusers_version",
        "transformers_version",
        "_use_default_values",
        "_class_name",
        "architectures",
        "_is_hf_initialized",
        "_is_buffer",
        "vocab_file",
        "merges_file",
        "tokenizer_file",
        "_keys_to_ignore_on_load_unexpected",
    }
)
"""Where weights and configurations were read from, and by which version. Versions are part of the environment, and
classes and weights are inspected themselves."""
OF_CONFIGS = frozenset({"dtype", "torch_dtype", "model_type"})
"""Entries of configurations that tell how weights were read, which the weights themselves show."""
OF_TOKENIZERS = frozenset(
    {
        "init_kwargs",
        "init_inputs",
        "files_loaded",
        "_should_update_post_processor",
        "_merges",
        "_vocab",
        "_vocab_scores",
    }
)
"""What a tokenizer was made from. The result is in its words, tokens and rules."""
TRANSIENT = frozenset(
    {
        "_state_cache",
        "_context",
        "_child_registries_cache",
        "tied_params_map",
        "_progress_bar_config",
        "warnings_issued",
        "deprecation_warnings",
        "_output_capturing_hooks_installed",
    }
)
"""What diffusers and accelerate keep between calls of modules, and what is only shown to people."""


def qualified(thing: Any) -> str:
    """Returns the module and name of a class or function."""
    name = getattr(thing, "__qualname__", None) or type(thing).__qualname__
    return f"{getattr(thing, '__module__', None) or 'builtins'}.{name}"

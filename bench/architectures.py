"""Every causal language model that transformers has, tiny and random: the engine's losses against the model's own.

    python -m bench.architectures [--only NAME ...] [--json FILE]

Of each kind a model is made with some ten thousand random weights. Its rows are computed by the engine together, in
whatever way the engine finds for it, and each alone by the model's plain forward on token ids. They agree within 3e-5
nats per token, or the table says so. A kind is left out only with its reason: that it cannot be made small, that what
was made does not run on token ids, or that it reads to the right.
"""

import argparse
import json
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from core.data.encoded import Encoded
from core.engine.loss_engine import LossEngine
from core.models.kinds import IMAGE_TEXT_MODELS
from core.models.reading_direction import reads_to_the_right

TOLERANCE = 3e-5
"""Nats per token."""

_VOCABULARY = 400
_MOST_PARAMETERS = 10_000_000
_SECONDS = 60

_SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("embed_dim", "out_hidden_size"), 32),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "d_ff", "decoder_ffn_dim", "encoder_ffn_dim"), 64),
    **dict.fromkeys(("ffn_hidden_size", "dim_ff", "d_inner", "block_ff_dim", "feed_forward_size", "dff"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("depth",), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "attention_head_dim", "d_kv", "kv_channels", "v_head_dim", "global_head_dim"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "ffn_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "experts_per_token"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "moe_ffn_hidden_size"), 32),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim"), 8),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "query_pre_attn_scalar", "attention_window_size"), 16),
    **dict.fromkeys(("sliding_window", "window_size", "sliding_window_size"), 16),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length"), 512),
    **dict.fromkeys(("vocab_size", "n_words", "vocab_size_per_layer_input"), _VOCABULARY),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_groups", "num_limited_groups"), 1),
    **dict.fromkeys(("state_size", "mamba_d_state", "ssm_state_size"), 8),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "mamba_n_groups"), 2),
    "first_k_dense_replace": 1,
    "fullatt_block_indexes": [1],
    "deepstack_visual_indexes": [1],
    "hidden_size_per_layer_input": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "initializer_range": 0.2,
    "use_cache": False,
    "is_decoder": True,
    "causal": True,
}
"""Sizes by the names that families have for them."""


_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
_WITH_MROPE = (
    "qwen2_vl_text", "qwen2_5_vl_text", "glm4v_text", "paddleocr_vl_text",
    "qwen2_5_omni_text", "qwen3_omni_moe_text",
)  # fmt: skip
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_expand": 2, "mamba_d_ssm": 64, "mamba_chunk_size": 8}
_ONE_KIND_OF_LAYER = {"per_layer_config": None}
_GEMMA_3N = {
    "intermediate_size": [64, 64],
    "activation_sparsity_pattern": [0.0, 0.0],
    "num_kv_shared_layers": 0,
    "laurel_rank": 8,
}
_KIND: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {
        "num_expert_group": 1, "topk_group": 1, "linear_head_dim": 16, "linear_num_heads": 2,
        "mlp_layer_types": ["dense", "sparse"], "layer_types": ["linear_attention", "full_attention"],
    },
    "bamba": {**_MAMBA, "attn_layer_indices": [1]},
    "codegen": {"n_embd": 64, "n_head": 4},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "dots3_note_text": _ONE_KIND_OF_LAYER,
    "emu3": {"pad_token_id": 1},
    "emu3_text_model": {"pad_token_id": 1},
    "falcon_h1": _MAMBA,
    "gemma3n_text": _GEMMA_3N,
    **dict.fromkeys(("gemma4_text", "gemma4_unified_text"), _ONE_KIND_OF_LAYER),
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "attention_layers": ["global", "local"]},
    "granitemoehybrid": {**_MAMBA, "shared_intermediate_size": 32},
    "laguna": {"num_attention_heads_per_layer": [2, 2]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 4, "head_dim": 16, "expand": 2, "n_groups": 1, "chunk_size": 8},
    "recurrent_gemma": {"lru_width": 32, "num_hidden_layers": 3},
    "reformer": {"axial_pos_shape": [16, 32], "axial_pos_embds_dim": [16, 16], "attention_head_size": 16},
    "roc_bert": {"shape_vocab_size": 400, "pronunciation_vocab_size": 400},
    "xlm": {"emb_dim": 32},
    "xlnet": {"d_head": 16},
    "xlstm": {"embedding_dim": 32, "num_blocks": 2, "mode": "inference", "chunk_size": 16},
    "zamba2": {
        "num_hidden_layers": 4, "hybrid_layer_ids": [1, 3], "n_mamba_heads": 4, "mamba_headdim": 16, "chunk_size": 8,
        "attention_hidden_size": 64, "attention_head_dim": 32, "adapter_rank": 4, "num_query_groups": 2,
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
    },
    **{name: {"rope_parameters": _MROPE} for name in _WITH_MROPE},
    **{
        name: {"rope_parameters": {**_MROPE, "mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}}
        for name in ("glm4v_moe_text", "glm_ocr_text", "glmga_text")
    },
    "longcat_flash": {"expert_ffn_hidden_size": 32, "zero_expert_num": 2},
    "mimo_v2_flash": {"head_dim": 24},
    "nemotron_h": {"n_groups": 2, "mamba_head_dim": 16, "chunk_size": 8, "moe_shared_expert_intermediate_size": 32},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
}  # fmt: skip
"""What single kinds need beyond that."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one kind of model."""

    kind: str
    verdict: str
    difference: float | None = None
    detail: str = ""


def main() -> int:
    """Print the table; exit 1 if a kind disagrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="these kinds (model_type) alone")
    parser.add_argument("--json", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    findings = []
    for kind in arguments.only or [*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *sorted(IMAGE_TEXT_MODELS)]:
        finding = examine(kind)
        findings.append(finding)
        moved = "" if finding.difference is None else f"{finding.difference:.1e}"
        print(f"{kind:28} {finding.verdict:28} {moved:8} {finding.detail}", flush=True)
    counts = Counter(finding.verdict for finding in findings)
    print("\n".join(f"{count:4} {verdict}" for verdict, count in counts.most_common()))
    if arguments.json:
        fields = {
            "transformers": transformers.__version__,
            "counts": counts,
            "kinds": [asdict(one) for one in findings],
        }
        arguments.json.write_text(json.dumps(fields, indent=1), encoding="utf-8")
    return 1 if counts["disagrees"] else 0


def examine(kind: str) -> Finding:
    """Make one kind small and compare. Whatever it raises is its finding: nothing is left out silently."""
    try:
        with _limit():
            model = tiny_model(kind)
    except Exception as error:
        return Finding(kind, "cannot be made small", None, _short(error))
    rows = _rows()
    try:
        with _limit():
            expected = [own_loss(model, row) for row in rows]
    except Exception as error:
        return Finding(kind, "its small form does not run", None, _short(error))
    try:
        with _limit():
            if reads_to_the_right(model):
                return Finding(kind, "reads to the right")
            engine = LossEngine(model)
            computed = engine.nll_sums(rows) / [row.token_count for row in rows]
    except Exception as error:
        return Finding(kind, "disagrees", None, _short(error))
    difference = float(np.abs(computed - expected).max())
    if not np.isfinite(expected).all():
        return Finding(kind, "cannot be made small", None, "its random weights give losses that are not finite")
    if not difference <= TOLERANCE:
        return Finding(kind, "disagrees", difference, engine.path)
    how = "packed" if engine.packs else "padded" if engine.splits else "whole logits"
    return Finding(kind, f"agrees, {how}", difference, "" if engine.packs else engine.path)


def tiny_model(kind: str) -> torch.nn.Module:
    """A random model of that kind, in float32 and evaluation mode. Raises whatever its classes raise."""
    config = tiny_config(kind)
    auto = AutoModelForImageTextToText if kind in IMAGE_TEXT_MODELS else AutoModelForCausalLM
    with torch.device("meta"):
        parameters = sum(part.numel() for part in auto.from_config(config).parameters())
    if parameters > _MOST_PARAMETERS:
        raise ValueError(f"it still has {parameters:,} weights")
    torch.manual_seed(0)
    model: torch.nn.Module = auto.from_config(config, attn_implementation="sdpa" if _takes_sdpa(auto, config) else None)
    torch.manual_seed(0)
    for part in model.modules():
        if isinstance(part, torch.nn.Linear | torch.nn.Embedding):
            part.weight.data.normal_(0.0, 0.2)
    return model.float().eval()


def _takes_sdpa(auto: Any, config: Any) -> bool:
    try:
        with torch.device("meta"):
            auto.from_config(config, attn_implementation="sdpa")
        return True
    except (ValueError, ImportError):
        return False


def tiny_config(kind: str) -> Any:
    """The kind's default config with small sizes, its parts' too."""
    made = CONFIG_MAPPING[kind]()
    return type(made)(**_shrunk(made.to_dict(), type(made)))


def _shrunk(fields: dict[str, Any], config_class: Any) -> dict[str, Any]:
    small = {key: value for key, value in fields.items() if key not in ("model_type", "transformers_version")}
    for key, value in fields.items():
        if isinstance(value, dict) and key in (getattr(config_class, "sub_configs", None) or {}):
            part_class = config_class.sub_configs[key]
            if hasattr(part_class, "model_type") and part_class.__name__ == "AutoConfig":
                part_class = CONFIG_MAPPING[value["model_type"]]
            small[key] = {"model_type": value.get("model_type", ""), **_shrunk(value, part_class)}
        elif key in _SMALL and (isinstance(value, int | float) or value is None or isinstance(_SMALL[key], list)):
            small[key] = _SMALL[key]
        elif key in ("layer_types", "layers_block_type", "mlp_layer_types") and isinstance(value, list):
            small[key] = _two_of(value)
        elif key == "pad_token_id" and isinstance(value, int):
            small[key] = min(value, 1)
        elif key == "rope_parameters" and isinstance(value, dict) and "mrope_section" in value:
            small[key] = {**value, "mrope_section": [2, 3, 3]}
    if "qk_rope_head_dim" in fields:
        small["head_dim"] = small["qk_rope_head_dim"]
    return small | _KIND.get(str(fields.get("model_type")), {})


def _two_of(kinds: list[str]) -> list[str]:
    """Two layers, of two kinds where there are so many."""
    different = list(dict.fromkeys(kinds))
    return different[:2] if len(different) > 1 else kinds[:2]


def own_loss(model: Any, row: Encoded) -> float:
    """Loss of one row by the model's plain forward on its token ids [nats per token]."""
    input_ids = torch.from_numpy(row.input_ids.astype(np.int64))[None]
    with torch.inference_mode():
        logits = model(input_ids=input_ids).logits[0]
    losses = F.cross_entropy(logits[:-1].double(), input_ids[0, 1:], reduction="none")
    return float(losses[torch.from_numpy(row.scored[1:])].mean())


def _rows() -> list[Encoded]:
    """Rows of random ids, some with a beginning in common, one longer than the windows."""
    random = np.random.default_rng(0)
    shared = random.integers(2, _VOCABULARY, 12)
    rows = [np.concatenate([shared, random.integers(2, _VOCABULARY, length)]) for length in (3, 9, 20, 48)]
    rows += [random.integers(2, _VOCABULARY, length) for length in (5, 17, 33)]
    return [Encoded(row.astype(np.int32), np.arange(len(row)) >= min(12, len(row) - 3), False) for row in rows]


@contextmanager
def _limit() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it takes longer than {_SECONDS} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:150]


if __name__ == "__main__":
    sys.exit(main())

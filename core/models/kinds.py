"""Detects the kind of a model from its config, so that models without causal losses are refused early.

The lists are for transformers 5.23. Kinds not listed are tested after loading, by `core.models.reading_direction`.
"""

from pathlib import Path
from typing import Any

_BOTH_WAYS = "its attention is bidirectional"
_ENCODER_DECODER, _SPEECH = "an encoder-decoder", "a model of speech or sound"
_MASKED, _DIFFUSION = f"a masked language model: {_BOTH_WAYS}", f"a diffusion language model: {_BOTH_WAYS}"
_VISION = "a vision-language model of a kind that is not supported, not even for text"
_READ = "a vision-language model that transformers loads as a causal language model too"
_IMAGE_TEXT = "a vision-language model that gives the losses of text-only rows"
_NAMES = {
    _READ: """
    dots3_note emu3 fuyu gemma3 gemma3n gemma4 gemma4_unified git got_ocr2 llama4 mllama qwen3_5 qwen3_5_moe
    qwen4_exp
    """,
    _IMAGE_TEXT: """
    aria aya_vision cohere2_vision cosmos3_edge cosmos3_omni deepseek_vl deepseek_vl_hybrid exaone4_5 glm46v glm4v
    glm4v_moe glm_ocr glmga granite_docling hyperclovax_vision_v2 idefics2 idefics3 inkling_mm_model internvl
    kimi_k25 kosmos-2.5 lfm2_vl lfm3_vl lighton_ocr llava llava_next llava_next_video llava_onevision minicpm_ocr
    minicpmv4_6 minicpmv4_7 minimax_m3_vl mistral3 ovis2 paddleocr_vl pp_chart2table qianfan_ocr qwen2_5_vl qwen2_vl
    qwen3_vl qwen3_vl_moe smolvlm step3p7 unlimited_ocr video_llama_3 video_llava vipllava
    """,
    _ENCODER_DECODER: """
    bart bigbird_pegasus blenderbot blenderbot-small encoder-decoder florence2 fsmt led longt5 m2m_100 marian
    mbart mt5 mvp nllb-moe pegasus pegasus_x pix2struct plbart prophetnet switch_transformers t5 t5gemma
    t5gemma2 udop umt5 vision-encoder-decoder xlm-prophetnet
    """,
    _SPEECH: """
    audioflamingo3 bark canary cohere_asr csm dia fun_asr_nano glmasr gradium_phonon_tts granite_speech
    granite_speech_plus higgs_audio_v2 hubert kyutai_speech_to_text moonshine moonshine_streaming
    musicflamingo musicgen musicgen_melody nemo_speechlm pop2piano qwen2_5_omni qwen2_audio
    qwen3_asr qwen3_omni_moe seamless_m4t seamless_m4t_v2 speech-encoder-decoder speech_to_text speecht5 vibevoice
    vibevoice_asr vits voxtral voxtral_realtime wav2vec2 wav2vec2-bert wavlm whisper
    """,
    _MASKED: """
    albert bert bert-generation big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert
    electra ernie esm esmc eurobert flaubert fnet funnel gte ibert jina_embeddings_v3 layoutlm longformer luke
    megatron-bert mobilebert modernbert mpnet mra neomme nomic_bert nystromformer qdqbert rembert roberta
    roberta-prelayernorm roc_bert roformer squeezebert tapas ultrabert xlm xlm-roberta xlm-roberta-xl xmod
    yoso
    """,
    _DIFFUSION: "diffusion_gemma dream diffullama llada llada2_moe mdlm sdar sdar_moe",
}
"""Kinds of models, and the model types of each."""

_KINDS = {kind: what for what, kinds in _NAMES.items() for kind in kinds.split()}

IMAGE_TEXT_MODELS = frozenset(_NAMES[_IMAGE_TEXT].split())
"""Vision-language models that transformers loads only as such. `bench.architectures` compares their text losses."""

_HEADS = (
    ("ForSequenceClassification", "a classifier, such as a reranker or a reward model"),
    ("ForTokenClassification", "a token classifier"),
    ("ForQuestionAnswering", "an extractive question-answering model"),
    ("ForMultipleChoice", "a multiple-choice classifier"),
    ("RewardModel", "a reward model"),
    ("ForSequenceScoring", "a reward model"),
    ("ForTextEncoding", "a text encoder"),
    ("EncoderModel", "an encoder"),
)
_ADVICE = "Choose a causal language model."


def refused_kind(name: str, folder: Path, config: dict[str, Any]) -> str | None:
    """A sentence on what a model is, if its kind has no causal losses of text; None otherwise."""
    kind = str(config.get("model_type") or "")
    listed = config.get("architectures")
    architectures = [str(item) for item in listed] if isinstance(listed, list) else []
    what = _what_it_is(kind, architectures, config)
    if what is None and _is_embedding_model(folder, architectures):
        what = "an embedding model"
    if what is None:
        return None
    shown = (architectures or [kind])[0][:80]
    return f"The model {name!r} is {what} ({shown}), which has no causal losses of text. {_ADVICE}"


def _what_it_is(kind: str, architectures: list[str], config: dict[str, Any]) -> str | None:
    for ending, head in _HEADS:
        if any(item.endswith(ending) for item in architectures):
            return head
    is_causal = any(item.endswith("ForCausalLM") for item in architectures)
    what = _KINDS.get(kind)
    if what == _DIFFUSION or (what == _SPEECH and not is_causal):
        return what
    if (what == _ENCODER_DECODER or config.get("is_encoder_decoder") is True) and not is_causal:
        return _ENCODER_DECODER
    if what == _MASKED and not config.get("is_decoder") and not config.get("causal"):
        return _MASKED
    if any(item.endswith("ForMaskedLM") for item in architectures):
        return _MASKED
    has_vision = any(isinstance(config.get(part), dict) for part in ("vision_config", "vision_encoder", "visual"))
    return _VISION if has_vision and not is_causal and what not in (_READ, _IMAGE_TEXT) else None


def _is_embedding_model(folder: Path, architectures: list[str]) -> bool:
    """Whether it was saved by sentence-transformers, without a head. Such folders list their parts in modules.json."""
    headless = bool(architectures) and all(item.endswith("Model") and "LMHead" not in item for item in architectures)
    return headless and (folder / "modules.json").exists()


def refused_folder(name: str, folder: Path) -> str | None:
    """A sentence about a folder in the format of another known library; None otherwise."""
    if (folder / "model_index.json").exists():
        return f"The folder {folder} of model {name!r} is a diffusers pipeline, which generates images. {_ADVICE}"
    for ending, form in ((".gguf", "llama.cpp (GGUF)"), (".onnx", "ONNX"), (".nemo", "NeMo"), (".mlmodel", "Core ML")):
        if any(folder.glob(f"*{ending}")) and not any(folder.glob("*.safetensors")):
            return (
                f"The folder {folder} of model {name!r} has weights for {form}, which are not supported. "
                "Give the Hugging Face folder that they were converted from."
            )
    return None

"""Model folders as a stranger may send them: each case spoils a good folder in one way, and says how it must end."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

SCORED = "scored"
"""The end of a folder that is scored all the same, what is hidden in it left alone."""
CODE = "import os\nopen(os.environ['HOSTILE_MARKER'], 'a').write(__name__)\n"


class Payload:
    """A pickle of this leaves a mark where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (CODE.replace("__name__", "'a pickle'"),)


@dataclass(frozen=True)
class Case:
    """A way to spoil a folder, and a pattern of the sentence that must come of it, or `SCORED`.

    `role` is the model that is spoiled: the base, the reference, one that is both, or an adapter as reference or base.
    """

    name: str
    spoil: Callable[[Path], object]
    ends: str
    role: str = "base"


def edited(file: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Change a JSON file of the folder in place, made if it is not there."""

    def spoil(folder: Path) -> None:
        path = folder / file
        fields = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        change(fields)
        path.write_text(json.dumps(fields), encoding="utf-8")

    return spoil


def with_fields(file: str, **fields: Any) -> Callable[[Path], object]:
    """Set fields of a JSON file of the folder."""
    return edited(file, lambda found: found.update(fields))


def written(file: str, content: str | bytes) -> Callable[[Path], object]:
    """Write a file of the folder anew."""

    def spoil(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def all_of(*changes: Callable[[Path], object]) -> Callable[[Path], object]:
    """Spoil in several ways."""

    def spoil(folder: Path) -> None:
        for change in changes:
            change(folder)

    return spoil


def removed(file: str) -> Callable[[Path], object]:
    """Take a file away."""
    return lambda folder: (folder / file).unlink()


def replaced(file: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Put something else where a file is."""

    def spoil(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return spoil


def weights(
    change: Callable[[dict[str, torch.Tensor]], object], file: str = "model.safetensors"
) -> Callable[[Path], object]:
    """Change the tensors of a safetensors file."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / file)
        change(tensors)
        save_file(tensors, folder / file, {"format": "pt"})

    return spoil


def table(change: Callable[[dict[str, Any]], object], data: bytes | None = None) -> Callable[[Path], object]:
    """Change the table at the head of the weights, its tensors left as they are (or other `data` put there)."""

    def spoil(folder: Path) -> None:
        content = (folder / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        fields = json.loads(content[8 : 8 + length])
        change(fields)
        head = json.dumps(fields).encode()
        rest = content[8 + length :] if data is None else data
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + rest)

    return spoil


def pickled(file: str) -> Callable[[Path], object]:
    """A pickle that runs code."""
    return written(file, pickle.dumps(Payload()))


def template(text: str) -> Callable[[Path], object]:
    """Another chat template."""
    return written("chat_template.jinja", text)


def splitting_by(pattern: str) -> Callable[[Path], object]:
    """A tokenizer that splits words by a pattern first."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return edited(
        "tokenizer.json",
        lambda fields: fields.update(
            pre_tokenizer={"type": "Sequence", "pretokenizers": [split, fields["pre_tokenizer"]]}
        ),
    )


def overlap(fields: dict[str, Any]) -> None:
    """Two tensors on the same bytes."""
    names = [name for name in fields if name != "__metadata__"]
    same = [name for name in names[1:] if fields[name]["shape"] == fields[names[-1]]["shape"]]
    fields[same[0]]["data_offsets"] = fields[same[-1]]["data_offsets"]


def moved_outside(folder: Path) -> None:
    """An index whose parts lie beside the folder."""
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    save_file({"nothing": torch.zeros(1)}, folder / "other.safetensors")


def index_of(part: str) -> Callable[[Path], object]:
    """An index that says where all tensors are."""

    def spoil(folder: Path) -> None:
        names = list(load_file(folder / "model.safetensors"))
        moved_outside(folder)
        fields = {"metadata": {}, "weight_map": dict.fromkeys(names, part.format(outside=folder.parent))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(fields), encoding="utf-8")

    return spoil


def linked_outside(folder: Path) -> None:
    """Weights that are a link to a file elsewhere."""
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / "model.safetensors").symlink_to(folder.parent / "outside.safetensors")


def sparse(folder: Path, length: int, file: str = "model.safetensors") -> None:
    """A file that says, and is, `length` bytes long, and takes no room on the disk."""
    with open(folder / file, "wb") as opened:
        opened.write(struct.pack("<Q", length))
        opened.truncate(length + 8 if file.endswith(".safetensors") else length)


def append(folder: Path, content: bytes) -> None:
    """More at the end of the weights."""
    with open(folder / "model.safetensors", "ab") as file:
        file.write(content)


AUTO_MAP = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
UPSTREAM = {key: f"stranger/code--{value}" for key, value in AUTO_MAP.items()}
ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NOT_THERE = r"has no \*\.safetensors in .* can run code"
OF_ITS_OWN = "needs its own code, which is never run|cannot be loaded"
BIG = "which does not match its weights"

PICKLES = (
    Case("weights in pytorch_model.bin", all_of(pickled("pytorch_model.bin"), removed("model.safetensors")), NOT_THERE),
    Case("weights in model.pt", all_of(pickled("model.pt"), removed("model.safetensors")), NOT_THERE),
    Case("weights in model.ckpt", all_of(pickled("model.ckpt"), removed("model.safetensors")), NOT_THERE),
    Case("a pickle beside the weights", pickled("pytorch_model.bin"), SCORED),
    Case("a pickle named model.safetensors", pickled("model.safetensors"), "are damaged"),
    Case(
        "an index to pickles",
        all_of(
            pickled("part.bin"),
            removed("model.safetensors"),
            with_fields("pytorch_model.bin.index.json", metadata={}, weight_map={"lm_head.weight": "part.bin"}),
        ),
        NOT_THERE,
    ),
    Case(
        "a safetensors index to a pickle",
        all_of(pickled("part.bin"), index_of("part.bin")),
        r"index of .* names 'part\.bin'",
    ),
    Case(
        "a config that names pickled weights",
        all_of(pickled("adapter_model.bin"), with_fields("config.json", transformers_weights="adapter_model.bin")),
        r"refers to other weights \(adapter_model\.bin\)",
    ),
    Case(
        "an adapter in a pickle",
        all_of(pickled("adapter_model.bin"), removed(ADAPTER_WEIGHTS)),
        r"has no adapter_model\.safetensors",
        "adapter",
    ),
)
REMOTE_CODE = (
    Case(
        "auto_map in the config of an unknown kind",
        all_of(written("modeling_own.py", CODE), with_fields("config.json", model_type="own", auto_map=AUTO_MAP)),
        OF_ITS_OWN,
    ),
    Case(
        "auto_map in the config of a known kind",
        all_of(written("modeling_own.py", CODE), with_fields("config.json", auto_map=AUTO_MAP)),
        SCORED,
    ),
    Case(
        "auto_map to another repository",
        with_fields("config.json", model_type="own", auto_map=UPSTREAM),
        OF_ITS_OWN,
    ),
    Case(
        "auto_map in the tokenizer's config",
        all_of(
            written("tokenization_own.py", CODE),
            with_fields("tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_own.T", None]}),
        ),
        SCORED,
    ),
    Case(
        "auto_map in an adapter's config",
        all_of(written("modeling_own.py", CODE), with_fields(ADAPTER, auto_map=AUTO_MAP)),
        SCORED,
        "adapter",
    ),
    Case(
        "auto_map in the generation config",
        all_of(
            written("generation_own.py", CODE),
            with_fields("generation_config.json", auto_map={"GenerationConfig": "generation_own.G"}),
        ),
        SCORED,
    ),
    Case("code to generate with", written("custom_generate/generate.py", CODE), "contains generation code"),
    Case("code beside the weights", all_of(written("modeling_llama.py", CODE), written("__init__.py", CODE)), SCORED),
)
KERNELS: tuple[dict[str, Any], ...] = (
    {"_attn_implementation": "stranger/kernel"},
    {"attn_implementation": "stranger/kernel:entry"},
    {"_attn_implementation_internal": None, "_experts_implementation": "stranger/kernel"},
    {"text_config": {"_attn_implementation": "stranger/kernel"}},
    {"_attn_implementation": {"": "stranger/kernel", "text_config": "eager"}},
    {"sub": [{"deeper": {"attn_implementation": "kernels-community/flash@main"}}]},
)
HIDDEN_CODE = (
    *(
        Case(
            f"code to download in {next(iter(fields))} {number}",
            with_fields("config.json", **fields),
            "refers to code to",
        )
        for number, fields in enumerate(KERNELS)
    ),
    *(
        Case(f"quantized by {method}", with_fields("config.json", quantization_config={"quant_method": method}), method)
        for method in ("gptq", "torchao", "mxfp4")
    ),
    Case(
        "patterns in what is said of quantized weights, of which there are none",
        with_fields("config.json", quantization_config={"quant_method": "fp8", "modules_to_not_convert": ["(.+)+!"]}),
        SCORED,
    ),
    Case(
        "sizes of quantized weights that are lists",
        with_fields("config.json", quantization_config={"quant_method": "gptq", "bits": 4, "group_size": [1]}),
        "groups of",
    ),
    Case("kernels", with_fields("config.json", use_kernels=True, kernel_config={"RMSNorm": "stranger/k:N"}), SCORED),
    Case(
        "a tokenizer that is a model",
        with_fields("tokenizer_config.json", tokenizer_class="AutoModel"),
        "not a tokenizer",
    ),
    Case(
        "a tokenizer that is a list",
        with_fields("tokenizer_config.json", tokenizer_class=["os", "system"]),
        "not a token",
    ),
    Case("a tokenizer from a GGUF", with_fields("tokenizer_config.json", gguf_file="/etc/passwd"), "gguf_file"),
    Case(
        "a processor map",
        all_of(
            written("processing_own.py", CODE),
            with_fields("processor_config.json", auto_map={"AutoProcessor": "processing_own.P"}, processor_class="P"),
        ),
        SCORED,
    ),
    Case(
        "a megatron adapter",
        with_fields(ADAPTER, megatron_config={"a": 1}, megatron_core="antigravity"),
        "megatron",
        "adapter",
    ),
    Case("an adapter of adapters", with_fields(ADAPTER, arrow_config={"top_k": 1}), "uses arrow_config", "adapter"),
    Case(
        "an adapter that reads a pickle",
        with_fields(ADAPTER, corda_config={"covariance_file": "c.pt"}),
        "corda",
        "adapter",
    ),
    Case(
        "an adapter's parent library",
        with_fields(ADAPTER, auto_mapping={"parent_library": "antigravity"}),
        SCORED,
        "adapter",
    ),
)
WEIGHTS = (
    Case("no weights", removed("model.safetensors"), NOT_THERE),
    Case("a missing tensor", weights(lambda found: found.pop("model.norm.weight")), "lacks 1 of its weights"),
    Case(
        "a tensor of another shape",
        weights(lambda found: found.update({"model.norm.weight": torch.ones(7)})),
        "does not match its config",
    ),
    Case("NaN", weights(lambda found: found["model.norm.weight"].fill_(float("nan"))), "have NaN or infinity"),
    Case("infinity", weights(lambda found: found["lm_head.weight"].fill_(float("-inf"))), "have NaN or infinity"),
    Case(
        "NaN in an adapter",
        weights(lambda found: found[sorted(found)[0]].fill_(float("nan")), ADAPTER_WEIGHTS),
        "NaN",
        "adapter",
    ),
    Case("an index to a file above", index_of("../outside.safetensors"), r"names '\.\./outside"),
    Case(
        "an index to an absolute path",
        index_of("{outside}/outside.safetensors"),
        "is not a .*safetensors file in its folder",
    ),
    Case("an index to a folder within", index_of("sub/outside.safetensors"), "names 'sub/outside"),
    Case(
        "an index of numbers",
        all_of(index_of("x"), with_fields("model.safetensors.index.json", weight_map={"a": 7})),
        "names ''",
    ),
    Case("a link out of the folder", linked_outside, "links outside its folder"),
    Case("a header of all there is", written("model.safetensors", b"\xff" * 8 + b"{}"), "shorter than it says"),
    Case("a header of 200 MB", lambda folder: sparse(folder, 200_000_000), "its table of tensors has"),
    Case("offsets that overlap", table(overlap), "does not begin where"),
    Case("weights cut off", lambda folder: os.truncate(folder / "model.safetensors", 9000), "are damaged"),
    Case("more bytes than tensors", lambda folder: append(folder, b"\0" * 64), "bytes of weights"),
    Case(
        "a shape that its bytes do not have",
        table(lambda t: t["lm_head.weight"].update(shape=[2**40, 2**40])),
        "does not match its shape",
    ),
    Case("a shape below zero", table(lambda t: t["lm_head.weight"].update(shape=[-1, -1])), "not a list of sizes"),
    Case("an unknown kind of number", table(lambda t: t["lm_head.weight"].update(dtype="O")), "unknown dtype"),
    Case(
        "a header nested deep",
        written("model.safetensors", struct.pack("<Q", 60000) + b'{"a":' * 12000 + b"1"),
        "damaged",
    ),
)
OTHERS = (
    Case(
        "an adapter that calls its base otherwise",
        with_fields(ADAPTER, base_model_name_or_path="stranger/other"),
        "scored",
        "adapter",
    ),
    Case(
        "an adapter whose base is on the Hub",
        with_fields(ADAPTER, base_model_name_or_path="stranger/other"),
        "not on this machine",
        "adapter as base",
    ),
    Case(
        "an adapter whose base is a pipe",
        with_fields(ADAPTER, base_model_name_or_path="/dev/stdin"),
        "not on this machine",
        "adapter as base",
    ),
    Case(
        "an adapter on itself",
        lambda folder: with_fields(ADAPTER, base_model_name_or_path=str(folder))(folder),
        "adapter itself",
        "adapter as base",
    ),
    Case("an adapter of rank 10**9", with_fields(ADAPTER, r=10**9), "rank 1000000000", "adapter"),
    Case(
        "an adapter of a rank for one layer",
        with_fields(ADAPTER, rank_pattern={"q_proj": 10**8}),
        "rank 100000000",
        "adapter",
    ),
    Case(
        "an adapter that multiplies layers",
        with_fields(ADAPTER, layer_replication=[[0, 2]] * 10**4),
        "layer_repl",
        "adapter",
    ),
    Case(
        "an adapter with an endless pattern",
        with_fields(ADAPTER, target_modules="(([a-z_.]*)*)*!"),
        "pattern that takes longer",
        "adapter",
    ),
    Case(
        "an adapter for 10**12 tokens",
        with_fields(ADAPTER, trainable_token_indices=[10**12]),
        "rows for 1,000,000,000,001 tokens, its base for 400, and resizing failed",
        "adapter",
    ),
    Case("an adapter with a broken pattern", with_fields(ADAPTER, target_modules="((("), "invalid pattern", "adapter"),
    Case(
        "another vocabulary",
        edited("tokenizer.json", lambda t: t["model"]["vocab"].update(a=400)),
        "tokenizer differs",
        "reference",
    ),
    Case(
        "other merges",
        edited("tokenizer.json", lambda t: t["model"]["merges"].reverse()),
        "tokenizer differs",
        "reference",
    ),
    Case("a tokenizer that is no JSON", written("tokenizer.json", "{"), "not a JSON object|cannot be loaded", "both"),
    Case(
        "a tokenizer nested deep",
        written("tokenizer.json", '{"a":' * 200_000),
        "nested too deep|cannot be loaded",
        "both",
    ),
    Case(
        "a tokenizer of no known kind",
        written("tokenizer.json", '{"version": "1.0", "model": {"type": "?"}}'),
        "cannot be loaded",
        "both",
    ),
    Case(
        "a tokenizer whose pattern explodes", splitting_by(r"(a+)+$"), "tokenizer failed on a text|took longer", "both"
    ),
    Case("a tokenizer whose pattern is broken", splitting_by("((("), "cannot be loaded", "both"),
)
TEMPLATES = (
    Case(
        "a template that hangs",
        template("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
        "5 times in a row",
    ),
    Case("a template that takes a gigabyte", template("{{ 'a' * 10**9 }}"), "took more than 256 MB"),
    Case(
        "a template that doubles",
        template("{% set n = namespace(t='a' * 1024) %}{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}"),
        "took more than 256 MB|took longer than",
    ),
    Case(
        "a template that compares nested tuples",
        template(
            "{% set n = namespace(a=(1, 2), b=(1, 2)) %}{% for i in range(70) %}{% set n.a = (n.a, n.a) %}"
            "{% set n.b = (n.b, n.b) %}{% endfor %}{{ n.a == n.b }}"
        ),
        "took longer than 0.3 seconds",
    ),
    Case(
        "a template that adds lists",
        template("{% set n = 1000 %}{{ ([[1] * n] * (60 * n)) | sum(start=[]) | length }}"),
        "took longer than 0.3 seconds",
    ),
    Case("a template of a power in one call", template("{% set n = 10 ** 8 %}{{ (7 ** n) % 10 }}"), "took longer"),
    Case("a template of a great power", template("{{ 7 ** (10 ** 8) }}"), "took longer|took more|refused"),
    Case("a template of wide numbers", template("{{ '%0999999999d' % 1 }}"), "took more than 256 MB"),
    Case(
        "a template of nested ranges",
        template("{{ range(99999) | map('string') | list | length }}{{ range(10**9) | list }}"),
        "refused|took longer than",
    ),
    Case(
        "a template that looks for classes",
        template("{{ messages.__class__.__mro__[1].__subclasses__() }}"),
        "refused|show where",
    ),
    Case(
        "a template that looks for globals",
        template("{{ raise_exception.__globals__['os'].system('true') }}"),
        "refused",
    ),
    Case(
        "a template that asks for attributes",
        template("{{ (messages | attr('__class__')).__base__.__subclasses__() }}"),
        "refused",
    ),
    Case(
        "a template that formats its way",
        template("{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}"),
        "refused|show where",
    ),
    Case(
        "a template through a cycler", template("{{ cycler.__init__.__globals__.os.popen('true').read() }}"), "refused"
    ),
    Case("a template that includes a file", template("{% include '/etc/passwd' %}"), "refused"),
    Case("a template that imports one", template("{% import '/etc/passwd' as p %}{{ p }}"), "refused"),
    Case("a template that extends one", template("{% extends '../../x' %}"), "refused"),
    Case("a template that changes messages", template("{{ messages.append({'role': 'assistant'}) }}"), "refused"),
    Case("a template that calls itself", template("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), "refused"),
    Case("a template that is broken", template("{% for %}"), "refused"),
)
CONFIGS = (
    Case("a vocabulary of 10**12", with_fields("config.json", vocab_size=10**12), BIG),
    Case("10**9 layers", with_fields("config.json", num_hidden_layers=10**9), BIG),
    Case("10**9 layers in a part", with_fields("config.json", text_config={"num_hidden_layers": 10**9}), BIG),
    Case("features of 10**9", with_fields("config.json", intermediate_size=10**9), BIG),
    Case("heads of 10**9", with_fields("config.json", num_attention_heads=10**9), BIG),
    Case("a head of 10**9", with_fields("config.json", head_dim=10**9), BIG),
    Case(
        "a hidden size at the limit",
        with_fields("config.json", hidden_size=2**16),
        "cannot be loaded|does not match",
    ),
    Case("a number of 400 digits", with_fields("config.json", max_position_embeddings=10**400), "invalid max_position"),
    Case("no config", removed("config.json"), r"has no config\.json"),
    Case("a config that is a list", written("config.json", "[]"), "not a JSON object"),
    Case("a config that is no text", written("config.json", b"\xff\xfe\x00"), "not a JSON object"),
    Case(
        "a config nested 100,000 deep",
        written("config.json", '{"a":' * 100_000 + "1" + "}" * 100_000),
        "nested too deep",
    ),
    Case("a config nested 300 deep", written("config.json", '{"a":' * 300 + "1" + "}" * 300), "nested deeper than 32"),
    Case("a config of 300 MB", lambda folder: sparse(folder, 300 * 2**20, "config.json"), "has 314,572,800 bytes"),
    Case("a config of words for numbers", with_fields("config.json", hidden_size="many"), "cannot be loaded"),
    Case("a text config that is a word", with_fields("config.json", text_config="wide"), "no usable text_config"),
)
FILES = (
    Case(
        "a link in a circle",
        replaced("config.json", lambda path: path.symlink_to(path)),
        r"no config\.json|cannot be read",
    ),
    Case(
        "weights that are a link in a circle",
        replaced("model.safetensors", lambda path: path.symlink_to(path)),
        "cannot be read",
    ),
    Case("a pipe for a config", replaced("config.json", os.mkfifo), "is not a regular file"),
    Case("a pipe for weights", replaced("model.safetensors", os.mkfifo), "is not a regular file"),
    Case("a pipe for a template", replaced("chat_template.jinja", os.mkfifo), "is not a regular file"),
    Case(
        "a pipe that nothing asks for",
        lambda folder: os.mkfifo(folder / "special_tokens_map.json"),
        "is not a regular file",
    ),
    Case(
        "a pipe among more templates",
        all_of(
            written("additional_chat_templates/a.jinja", ""),
            lambda folder: os.mkfifo(folder / "additional_chat_templates/b.jinja"),
        ),
        "is not a regular file",
    ),
    Case(
        "a device for weights",
        replaced("model.safetensors", lambda path: path.symlink_to("/dev/zero")),
        "is not a regular file",
    ),
    Case("a folder for weights", replaced("model.safetensors", os.mkdir), "is not a regular file"),
    Case(
        "a link to a stranger's file",
        replaced("tokenizer_config.json", lambda path: path.symlink_to("/etc/passwd")),
        "links outside",
    ),
)
CASES = (*PICKLES, *REMOTE_CODE, *HIDDEN_CODE, *WEIGHTS, *OTHERS, *TEMPLATES, *CONFIGS, *FILES)

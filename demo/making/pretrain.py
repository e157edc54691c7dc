"""Pretrain the tiny base language model that the demo fine-tunes, from openly licensed text only.

Everything that LoBaSS Explorer shows is a difference between a *base* model and a fine-tuned one,
so an offline demo needs a base model of its own.  This script makes it, from nothing, on a laptop:

    python demo/making/pretrain.py --work DIR              # all four steps, about an hour on two cores
    python demo/making/pretrain.py corpus    --work DIR    # packages of Debian and PyPI -> DIR/train.jsonl
    python demo/making/pretrain.py tokenizer --work DIR    # byte-level BPE             -> demo/base/
    python demo/making/pretrain.py train     --work DIR    # Llama, < 8M parameters     -> demo/base/
    python demo/making/pretrain.py evaluate  --work DIR    # bits per byte beside xz -9 -> demo/base/

The `corpus` step needs Debian's `apt-get` and `dpkg-deb` (package lists fetched once with
`apt-get update`) and `pip`; it never runs code of the packages that it downloads.  The other
steps need torch, transformers, tokenizers and safetensors; the picture needs nothing more.

The result is a base model in the plain sense: it has seen no "User: ... / Assistant: ..." text.
"""

from __future__ import annotations

import argparse
import collections
import json
import lzma
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import corpus

if TYPE_CHECKING:
    import torch

DEMO = Path(__file__).resolve().parents[1]
BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"

# ----------------------------------------------------------------------------------------------
# 2. tokenizer
# ----------------------------------------------------------------------------------------------

# Every role's turn ends in a newline and "Assistant:" never carries a trailing space, so the render
# of messages[:i] with the generation prompt is a prefix of the render of messages[:i + 1], as a
# string and as tokens (" The" is one token after ":").
CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'system' %}{{- message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] == 'user' %}{{- 'User: ' + message['content'] + '\\n' }}"
    "{%- elif message['role'] == 'assistant' %}{{- 'Assistant: ' + message['content'] + eos_token + '\\n' }}"
    "{%- elif message['role'] == 'tool' %}{{- 'Tool: ' + message['content'] + '\\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'Assistant:' }}{%- endif %}"
)


def documents(path: Path) -> Iterator[dict]:
    """Documents of a corpus file, one dict each."""
    with open(path) as file:
        for line in file:
            yield json.loads(line)


def tokenizer(work: Path, base: Path, vocabulary: int) -> None:
    """Train the byte-level BPE on the training documents and write it with the chat template.

    All 256 bytes are in the vocabulary, so nothing is ever unknown.  Digits stand alone, because
    a model this small adds column by column or not at all.  Calling it adds no special token:
    rendered chat text brings its own <|bos|>, and a second one would shift every loss.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS, PAD],
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=16,
    )
    bpe.train_from_iterator((d["text"] for d in documents(work / "train.jsonl")), trainer)
    base.mkdir(parents=True, exist_ok=True)
    bpe.save(str(base / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "unk_token": None,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "right",
        "chat_template": CHAT_TEMPLATE,
    }
    (base / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    print(f"tokenizer: {bpe.get_vocab_size()} tokens")


# ----------------------------------------------------------------------------------------------
# 3. train
# ----------------------------------------------------------------------------------------------


def encode(work: Path, base: Path, split: str) -> tuple[list[str], list[list[int]]]:
    """(genre, token ids) of each document of a split, as <|bos|> text <|eos|>."""
    from tokenizers import Tokenizer

    bpe = Tokenizer.from_file(str(base / "tokenizer.json"))
    bos, eos = bpe.token_to_id(BOS), bpe.token_to_id(EOS)
    genres, ids, batch = [], [], []

    def flush() -> None:
        for doc, encoding in zip(batch, bpe.encode_batch([d["text"] for d in batch]), strict=True):
            genres.append(doc["genre"])
            ids.append([bos, *encoding.ids, eos])
        batch.clear()

    for doc in documents(work / f"{split}.jsonl"):
        batch.append(doc)
        if len(batch) == 4096:
            flush()
    flush()
    return genres, ids


def pack(work: Path, base: Path, length: int, prose_epochs: int, seed: int) -> torch.Tensor:
    """Shuffled training documents laid end to end and cut in rows: int16 tokens, (rows, length).

    Prose goes in `prose_epochs` times, the rest once: books are the scarcest kind here and the
    closest to what the demo's chat examples ask for.
    """
    import numpy as np
    import torch

    genres, ids = encode(work, base, "train")
    order = [i for i, g in enumerate(genres) for _ in range(prose_epochs if g == "prose" else 1)]
    random.Random(seed).shuffle(order)
    counts: dict[str, int] = collections.Counter()
    for genre, row in zip(genres, ids, strict=True):
        counts[genre] += len(row)
    flat = np.concatenate([np.asarray(ids[i], dtype=np.int16) for i in order])
    rows = len(flat) // length
    (work / "tokens.json").write_text(
        json.dumps(
            {
                "distinct": sum(counts.values()),
                "by_genre": counts,
                "packed": rows * length,
                "prose_epochs": prose_epochs,
            }
        )
    )
    print(
        f"tokens: {sum(counts.values()) / 1e6:.2f}M distinct, {rows * length / 1e6:.2f}M packed, {dict(counts)}",
        flush=True,
    )
    return torch.from_numpy(flat[: rows * length].reshape(rows, length))


def save_model(model: torch.nn.Module, base: Path, **log: Any) -> None:
    """Write config, bf16 weights and the log, each file replaced in one step so readers see whole files."""
    import torch
    from safetensors.torch import save_file

    def replace(name: str, write: Callable[[Path], None]) -> None:
        part = base / f".{name}.part"
        write(part)
        part.chmod(0o644)  # safetensors writes for its owner alone
        os.replace(part, base / name)

    config = model.config.to_dict() | {
        "torch_dtype": "bfloat16",
        "dtype": "bfloat16",
        "architectures": ["LlamaForCausalLM"],
    }
    for noise in ("_name_or_path", "id2label", "label2id", "problem_type", "return_dict", "chunk_size_feed_forward",
                  "output_hidden_states", "output_attentions", "is_encoder_decoder", "pretraining_tp"):  # fmt: skip
        config.pop(noise, None)  # settings of every model, none of this one's
    ids = {
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": config["eos_token_id"],
        "pad_token_id": config["pad_token_id"],
    }
    replace("config.json", lambda p: p.write_text(json.dumps(config, indent=1) + "\n"))
    replace(
        "generation_config.json", lambda p: p.write_text(json.dumps(ids | {"max_new_tokens": 128}, indent=1) + "\n")
    )
    # lm_head is the embedding (tied): stored once
    weights = {
        k: v.detach().to(torch.bfloat16).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"
    }
    replace("model.safetensors", lambda p: save_file(weights, str(p), metadata={"format": "pt"}))
    if log:
        replace("training_log.json", lambda p: p.write_text(json.dumps(log, indent=1) + "\n"))


def train(work: Path, base: Path, args: argparse.Namespace) -> None:
    """Pretrain and write demo/base/, with a first loadable checkpoint after `--first-save` seconds.

    fp32 weights under bf16 autocast; Muon for the matrices inside the blocks and AdamW for the
    embedding and norms; the learning rate warms up, stays flat, and falls to zero over the last
    part.  Progress is the larger of tokens used and minutes used, so `--minutes` is a true limit
    and the fall to zero always happens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    data = pack(work, base, args.context, args.prose_epochs, args.seed)
    _, held = encode(work, base, "heldout")
    random.Random(0).shuffle(held)
    check = torch.tensor([t for row in held for t in row][: 64 * args.context]).view(64, args.context)

    config = LlamaConfig(
        vocab_size=args.vocabulary,
        hidden_size=args.hidden,
        intermediate_size=args.intermediate,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.heads,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        initializer_range=0.02,
    )
    model = LlamaForCausalLM(config)
    parameters = sum(p.numel() for p in model.parameters())
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [
        torch.optim.Muon(matrices, lr=args.lr, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]

    def loss_of(tokens: torch.Tensor) -> torch.Tensor:  # tokens (batch, context) -> mean nats a token
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=tokens, use_cache=False).logits
        return torch.nn.functional.cross_entropy(
            logits[:, :-1].float().reshape(-1, args.vocabulary), tokens[:, 1:].reshape(-1)
        )

    step_loss = torch.compile(loss_of) if args.compile else loss_of

    @torch.no_grad()
    def held_out_loss() -> float:
        return sum(loss_of(check[i : i + 8]).item() for i in range(0, len(check), 8)) / (len(check) // 8)

    per_step = args.micro_batch * args.accumulate * args.context
    budget = min(args.tokens, len(data) * args.context)
    curve, seen, step, last_save, row, smooth = [], 0, 0, -math.inf, 0, 0.0
    earlier_seconds = 0
    if args.resume:
        model.load_state_dict(torch.load(work / "model_fp32.pt"))
        log = json.loads((base / "training_log.json").read_text())
        curve, seen, step = log["curve"], log["tokens_seen"], log["curve"][-1]["step"]
        row, earlier_seconds, smooth = seen // args.context, log["seconds"], curve[-1]["train_loss"]
    first_seen, first_step = seen, step
    began = time.time()
    print(f"model: {parameters / 1e6:.2f}M parameters; {budget / 1e6:.1f}M tokens, {per_step} a step", flush=True)
    while True:
        elapsed = time.time() - began
        progress = max((seen - first_seen) / (budget - first_seen), elapsed / (60 * args.minutes))
        if progress >= 1 or row + args.micro_batch * args.accumulate > len(data):
            break
        rate = args.lr * min(1.0, (step - first_step + 1) / args.warmup) * min(1.0, (1 - progress) / args.decay)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        total = 0.0
        for _ in range(args.accumulate):
            tokens = data[row : row + args.micro_batch].long()
            row += args.micro_batch
            loss = step_loss(tokens) / args.accumulate
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step, seen = step + 1, seen + per_step
        smooth = total if step == 1 else 0.95 * smooth + 0.05 * total
        if step % 20 == 0:
            point = {
                "step": step,
                "tokens": seen,
                "seconds": round(earlier_seconds + time.time() - began, 1),
                "train_loss": round(smooth, 4),
                "lr": rate,
            }
            if step % args.check_every == 0:
                point["held_out_loss"] = round(held_out_loss(), 4)
            curve.append(point)
            print(f"{point}  {(seen - first_seen) / (time.time() - began):.0f} tok/s", flush=True)
        now = time.time() - began
        if now > args.first_save and now - last_save > args.save_every:
            last_save = now
            save_model(model, base, complete=False, tokens_seen=seen, seconds=round(earlier_seconds + now), curve=curve)
    seconds = earlier_seconds + time.time() - began
    final = held_out_loss()
    curve.append(
        {
            "step": step,
            "tokens": seen,
            "seconds": round(seconds, 1),
            "train_loss": round(smooth, 4),
            "lr": 0.0,
            "held_out_loss": round(final, 4),
        }
    )
    settings = {k: v for k, v in vars(args).items() if k not in ("work", "base", "step")}
    save_model(
        model,
        base,
        complete=True,
        parameters=parameters,
        tokens_seen=seen,
        seconds=round(seconds),
        corpus_tokens=json.loads((work / "tokens.json").read_text()),
        settings=settings,
        curve=curve,
    )
    torch.save(dict(model.state_dict()), work / "model_fp32.pt")
    draw(base, base.parent / "loss_curve.svg")
    print(f"train: {seen / 1e6:.2f}M tokens in {seconds / 60:.1f} min, held-out loss {final:.4f}")


def draw(base: Path, path: Path) -> None:
    """The loss curve as a small SVG, drawn by hand so that no plotting package is needed."""
    log = json.loads((base / "training_log.json").read_text())
    curve = log["curve"]
    width, height, left, bottom, top = 720, 360, 60, 46, 30
    xmax = curve[-1]["tokens"] / 1e6
    values = [p["train_loss"] for p in curve] + [p["held_out_loss"] for p in curve if "held_out_loss" in p]
    low, high = math.floor(min(values) * 2) / 2, math.ceil(max(values) * 2) / 2

    def x(tokens: float) -> float:  # pixels
        return left + (width - left - 20) * (tokens / 1e6) / xmax

    def y(loss: float) -> float:  # pixels
        return top + (height - top - bottom) * (high - loss) / (high - low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    v = low
    while v <= high + 1e-9:
        out.append(
            f'<line x1="{left}" x2="{width - 20}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>'
            f'<text x="{left - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.1f}</text>'
        )
        v += 0.5
    ticks = max(1, round(xmax / 8))
    for t in range(0, int(xmax) + 1, ticks):
        out.append(f'<text x="{x(t * 1e6):.1f}" y="{height - bottom + 18}" text-anchor="middle">{t}</text>')
    out.append(
        f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle">training tokens (millions)</text>'
    )
    out.append(f'<text x="{left}" y="18">loss, nats per token (training: smoothed)</text>')
    for key, colour, name, at in (
        ("train_loss", "#7aa6d8", "training", 0),
        ("held_out_loss", "#c0392b", "held out", 1),
    ):
        points = " ".join(f"{x(p['tokens']):.1f},{y(p[key]):.1f}" for p in curve if key in p)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{width - 110}" y="{top + 18 + 18 * at}" fill="{colour}">{name}</text>')
    path.write_text("\n".join([*out, "</svg>"]) + "\n")


# ----------------------------------------------------------------------------------------------
# 4. evaluate
# ----------------------------------------------------------------------------------------------

PROMPTS = [
    "The sun is",
    "A dictionary is a book that",
    "She looked at him and",
    "12 + 7 =",
    "Anna had 8 apples. Ben gave Anna 5 more.",
    "def factorial(n):\n",
    "To open a file,",
    "water\nn 1:",
]


def evaluate(work: Path, base: Path, bytes_per_genre: int) -> None:
    """Bits per byte on held-out documents, by genre, beside xz -9 on the same text.

    The model sees each document on its own, <|bos|> first, and pays for the text's tokens and for
    <|eos|>.  xz sees the whole held-out sample at once, documents joined by an empty line, with
    the bits of its file divided by the same bytes (the documents' own, without the joins); it
    keeps what it learnt from one document to the next, which the model does not.
    A document over 511 tokens (a training row) is scored in parts, each from a fresh <|bos|>.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(2)
    names = AutoTokenizer.from_pretrained(base)
    model, info = AutoModelForCausalLM.from_pretrained(
        base, use_safetensors=True, dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"], info
    assert not info["unexpected_keys"], info
    model.eval()
    rng = random.Random(0)
    texts: dict[str, list[str]] = collections.defaultdict(list)
    for doc in documents(work / "heldout.jsonl"):
        texts[doc["genre"]].append(doc["text"])
    table, everything = {}, []
    all_bits = all_bytes = all_tokens = 0.0
    for genre in ("prose", "dictionary", "docs", "code", "numbers"):
        rng.shuffle(texts[genre])
        sample, size = [], 0
        for text in texts[genre]:
            if size >= bytes_per_genre:
                break
            sample.append(text)
            size += len(text.encode())
        rows = []
        for text in sample:
            ids = names(text, add_special_tokens=False)["input_ids"] + [names.eos_token_id]
            rows += [[names.bos_token_id, *ids[i : i + 511]] for i in range(0, len(ids), 511)]
        rows.sort(key=len)
        bits = tokens = 0.0
        with torch.inference_mode():
            for i in range(0, len(rows), 16):
                batch = rows[i : i + 16]
                width = max(map(len, batch))
                x = torch.tensor([r + [names.pad_token_id] * (width - len(r)) for r in batch])
                logits = model(input_ids=x, attention_mask=(x != names.pad_token_id).long()).logits
                loss = torch.nn.functional.cross_entropy(
                    logits[:, :-1].transpose(1, 2), x[:, 1:], ignore_index=names.pad_token_id, reduction="sum"
                )
                bits += loss.item() / math.log(2)
                tokens += sum(len(r) - 1 for r in batch)
        packed = len(lzma.compress("\n\n".join(sample).encode(), preset=9 | lzma.PRESET_EXTREME)) * 8
        table[genre] = {
            "documents": len(sample),
            "bytes": size,
            "tokens": int(tokens),
            "bytes_per_token": round(size / tokens, 3),
            "nats_per_token": round(bits * math.log(2) / tokens, 4),
            "model": round(bits / size, 4),
            "xz9e": round(packed / size, 4),
        }
        everything += sample
        all_bits, all_bytes, all_tokens = all_bits + bits, all_bytes + size, all_tokens + tokens
        print(genre, table[genre], flush=True)
    packed = len(lzma.compress("\n\n".join(everything).encode(), preset=9 | lzma.PRESET_EXTREME)) * 8
    table["overall"] = {
        "documents": len(everything),
        "bytes": int(all_bytes),
        "tokens": int(all_tokens),
        "bytes_per_token": round(all_bytes / all_tokens, 3),
        "nats_per_token": round(all_bits * math.log(2) / all_tokens, 4),
        "model": round(all_bits / all_bytes, 4),
        "xz9e": round(packed / all_bytes, 4),
    }
    print("overall", table["overall"])
    samples = []
    for prompt in PROMPTS:
        ids = torch.tensor([[names.bos_token_id] + names(prompt, add_special_tokens=False)["input_ids"]])
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False)
        samples.append([prompt, names.decode(out[0, ids.shape[1] :], skip_special_tokens=False)])
        print("---", repr(prompt), "->", repr(samples[-1][1]))
    (base / "evaluation.json").write_text(
        json.dumps(
            {"unit": "bits per byte", "held_out": table, "greedy_samples": samples}, indent=1, ensure_ascii=False
        )
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", default="all", choices=["all", "corpus", "tokenizer", "train", "evaluate"])
    parser.add_argument("--work", type=Path, required=True, help="folder for downloads and the corpus (about 3 GB)")
    parser.add_argument("--base", type=Path, default=DEMO / "base", help="folder the model is written to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--intermediate", type=int, default=688)
    parser.add_argument("--context", type=int, default=512, help="tokens in a training row")
    parser.add_argument("--micro-batch", type=int, default=8, help="rows in a forward pass")
    parser.add_argument("--accumulate", type=int, default=2, help="forward passes in a step")
    parser.add_argument("--tokens", type=float, default=30e6, help="most tokens to train on")
    parser.add_argument("--resume", action="store_true", help="go on from the last run's end, on rows it has not seen")
    parser.add_argument("--minutes", type=float, default=44, help="most minutes to train")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--warmup", type=int, default=50, help="steps")
    parser.add_argument(
        "--decay", type=float, default=0.5, help="last part of training over which the rate falls to zero"
    )
    parser.add_argument("--prose-epochs", type=int, default=2, help="times that prose goes in; the rest goes in once")
    parser.add_argument("--check-every", type=int, default=100, help="steps between held-out losses (a multiple of 20)")
    parser.add_argument("--first-save", type=float, default=240, help="seconds")
    parser.add_argument("--save-every", type=float, default=480, help="seconds")
    parser.add_argument("--compile", action="store_true", help="torch.compile the step (needs a C++ compiler)")
    parser.add_argument("--bytes-per-genre", type=int, default=60_000, help="held-out sample for evaluate")
    args = parser.parse_args()
    if args.step in ("all", "train") and "MALLOC_TOP_PAD_" not in os.environ:
        # glibc gives every large buffer back and takes it anew at each step; kept, training is 1.6 times as fast.
        # Threads that wait asleep rather than spinning lose less when something else shares the cores.
        keep = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
        keep |= {"MALLOC_TOP_PAD_": "268435456", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **keep})
    if args.step in ("all", "corpus"):
        corpus(args.work, args.seed)
    if args.step in ("all", "tokenizer"):
        tokenizer(args.work, args.base, args.vocabulary)
    if args.step in ("all", "train"):
        train(args.work, args.base, args)
    if args.step in ("all", "evaluate"):
        evaluate(args.work, args.base, args.bytes_per_genre)


if __name__ == "__main__":
    main()

"""GPT-2 (124M), T5-small, Marian and Llama shapes with random weights, for every contender; made into build/bench."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.example_artifacts import ROOT, WORK
from benchmarks.few_texts import FEW_TEXTS, write_few_texts
from layers.catalogue import ModelSpec
from layers.compiler.build import build
from layers.compiler.examples import SAMPLES

CHECKPOINTS = WORK / "checkpoints"
ARTIFACTS = WORK / "artifacts"
CTRANSLATE2 = WORK / "peers" / "ctranslate2"
TASKS = {"gpt2": "text-generation", "t5-small": "summarization", "marian": "translation", "llama": "text-generation"}
# Random weights have nothing to judge.
ANY_DROP = {"data": str(FEW_TEXTS), "max_drop": 1.0}
# A vocabulary of Marian's usual size, most of it words that never occur.
MARIAN_WORDS = 58101


def prepare(name: str, say: Callable[[str], None], *, peers: bool = True, precision: str = "int8") -> Path:
    """Make the checkpoint, our artifact and CTranslate2's int8 model (for `peers`), whatever is missing.

    Random weights have no perplexity worth keeping: the gate allows any drop, and the speed is what is measured.
    """
    if not (CHECKPOINTS / name).exists():
        say(f"making {name}")
        write_checkpoint(name)
    write_few_texts()
    table = {"name": name, "source": str(CHECKPOINTS / name), "task": TASKS[name], "precision": precision}
    output = ARTIFACTS if precision == "int8" else WORK / f"artifacts-{precision}"
    built = build(ModelSpec.model_validate({**table, "gate": ANY_DROP}), ROOT, output, "x86_64", say)
    if peers and not (CTRANSLATE2 / name).exists():
        _ctranslate2(name)
    return built.directory


def write_checkpoint(name: str) -> None:
    """Random weights at the shape of that name, with an example model's tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    model: Any
    match name:
        case "gpt2":
            model = transformers.GPT2LMHeadModel(transformers.GPT2Config())
        case "t5-small":
            sizes = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8}
            model = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, decoder_start_token_id=0))
        case "marian":
            model = transformers.MarianMTModel(_marian_config())
        case _:
            model = transformers.LlamaForCausalLM(
                transformers.LlamaConfig(
                    vocab_size=32000,
                    hidden_size=768,
                    intermediate_size=2048,
                    num_hidden_layers=12,
                    num_attention_heads=12,
                    num_key_value_heads=4,
                    max_position_embeddings=4096,
                )
            )
    directory = CHECKPOINTS / name
    model.save_pretrained(directory)
    if name == "marian":
        _marian_tokenizer(directory)
        return
    source = ROOT / "examples/models" / ("debian-summarizer" if name == "t5-small" else "debian-writer")
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(directory)
    _widen(directory / "tokenizer.json", model.config.vocab_size)


def _marian_config() -> Any:
    """The shape of the OPUS-MT models (Helsinki-NLP/opus-mt-en-de's config.json)."""
    import transformers

    layers = {"encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048}
    heads = {"encoder_attention_heads": 8, "decoder_attention_heads": 8}
    last = MARIAN_WORDS - 1
    tokens = {"pad_token_id": last, "decoder_start_token_id": last, "eos_token_id": 0, "bos_token_id": None}
    return transformers.MarianConfig(
        vocab_size=MARIAN_WORDS,
        d_model=512,
        max_position_embeddings=512,
        activation_function="swish",
        scale_embedding=True,
        **layers,
        **heads,
        **tokens,
    )


def _marian_tokenizer(directory: Path) -> None:
    """SentencePiece trained on the sample that ships with the compiler; fillers up to the vocabulary's size."""
    import sentencepiece
    from transformers import MarianTokenizer

    texts = [json.loads(line)["text"] for line in (SAMPLES / "texts.jsonl").read_text(encoding="utf-8").splitlines()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(directory / "spm"), vocab_size=4000, minloglevel=2
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(directory / "spm.model"))
    pieces = [model.id_to_piece(index) for index in range(model.get_piece_size())]
    words = ["</s>", "<unk>", *(piece for piece in pieces if piece not in ("</s>", "<unk>", "<s>"))]
    words += [f"<filler {index}>" for index in range(len(words), MARIAN_WORDS - 1)] + ["<pad>"]
    vocabulary = directory / "vocab.json"
    vocabulary.write_text(json.dumps({word: index for index, word in enumerate(words)}), encoding="utf-8")
    spm = str(directory / "spm.model")
    MarianTokenizer(spm, spm, str(vocabulary), source_lang="en", target_lang="de").save_pretrained(directory)


def _widen(path: Path, size: int) -> None:
    """Fill the tokenizer up with words that never occur: CTranslate2 wants as many as the model has rows."""
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    fillers = [f"<filler {index}>" for index in range(len(vocabulary), size)]
    if isinstance(vocabulary, dict):
        vocabulary.update({word: len(vocabulary) + index for index, word in enumerate(fillers)})
    else:
        vocabulary.extend([word, -1e4] for word in fillers)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _ctranslate2(name: str) -> None:
    from ctranslate2.converters import TransformersConverter

    (CTRANSLATE2 / name).parent.mkdir(parents=True, exist_ok=True)
    TransformersConverter(str(CHECKPOINTS / name)).convert(str(CTRANSLATE2 / name), quantization="int8")

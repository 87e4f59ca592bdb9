"""From an opened checkpoint to a graph: the recipe's body, the task's head, pooling, and the tensor census."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from layers.artifact import Pooling, ProblemType
from layers.compiler.architectures.architecture import Architecture, EncoderInputs, Generator
from layers.compiler.architectures.registry import architecture_for
from layers.compiler.checkpoint import Checkpoint, open_checkpoint, read_by_transformers, read_config
from layers.compiler.device_net import open_net
from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.net import Net
from layers.compiler.plan import Plan
from layers.compiler.pooling import SentenceModules, pool, read_modules
from layers.compiler.task_heads import HEAD_OF_TASK, HEADS
from layers.errors import UnsupportedError

# Matrix products between large tensors dominate the file; below this they stay inside model.onnx itself.
INLINE_BYTES = 1024
# Page-aligned tensors can be used where they are mapped.
PAGE = 4096


@dataclass(frozen=True)
class Recipe:
    """A checkpoint joined with its architecture and task; writes one graph per plan."""

    checkpoint: Checkpoint
    architecture: Architecture
    config: Mapping[str, Any]
    task: str
    modules: SentenceModules | None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The graph's inputs in order."""
        types = ("token_type_ids",) if self.architecture.reads_token_types(self.config) else ()
        return ("input_ids", "attention_mask", *types)

    @property
    def max_tokens(self) -> int:
        """The longest text, special tokens included."""
        limit = self.architecture.max_tokens(self.config)
        stated = self.modules.max_tokens if self.modules else None
        return min(limit, stated) if stated else limit

    def write(self, plan: Plan) -> tuple[ir.Model, Net]:
        """The graph of one plan. Raises CheckpointError when a tensor is missing or nobody reads one."""
        net = open_net(self.checkpoint, plan)
        values = {name: net.input(name) for name in self.inputs}
        inputs = EncoderInputs(values["input_ids"], values["attention_mask"], values.get("token_type_ids"))
        hidden_states = self.architecture.encode(net, self.config, inputs)
        head = self.architecture.heads[HEAD_OF_TASK[self.task]]
        outputs = dict(head(net, self.config, hidden_states, inputs.attention_mask))
        if self.modules is not None:
            # Sums over a text are longer than those of a layer.
            with net.single(hidden_states) as exact:
                outputs["sentence_embedding"] = pool(net, self.modules, exact, inputs.attention_mask)
        self.checkpoint.account_for_every_tensor(self.architecture.unused)
        for name, axes in HEADS[HEAD_OF_TASK[self.task]].outputs.items():
            outputs[name].shape = ir.Shape(axes)
            outputs[name].type = ir.TensorType(ir.DataType.FLOAT)
        return net.finish(outputs), net

    @property
    def outputs(self) -> tuple[str, ...]:
        """The graph's outputs in order."""
        return tuple(HEADS[HEAD_OF_TASK[self.task]].outputs)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        if HEAD_OF_TASK[self.task] not in ("sequence-classification", "token-classification"):
            return ()
        names = self.config.get("id2label") or {}
        return tuple(str(names[key]) for key in sorted(names, key=int))

    @property
    def problem_type(self) -> ProblemType | None:
        """What the logits of a sequence classifier mean; None where there is one and the checkpoint does not say."""
        if HEAD_OF_TASK[self.task] != "sequence-classification":
            return None
        stated: ProblemType | None = self.config.get("problem_type")
        # A single label is no regression by itself: transformers' pipeline gives its sigmoid.
        return stated or (None if len(self.labels) == 1 else "single_label_classification")

    @property
    def pooling(self) -> Pooling | None:
        """How `sentence_embedding` is made."""
        return self.modules.pooling if self.modules else None

    def graphs(self, plan: Plan) -> dict[str, tuple[ir.Model, Net]]:
        """Every graph of one plan by the first part of its file name."""
        return {"model": self.write(plan)}


def open_recipe(directory: Path, task: str) -> Recipe | GenerativeRecipe:
    """Open a checkpoint for a task.

    Raises CheckpointError for a broken one, UnsupportedError when no recipe or head covers it.
    """
    from transformers import AutoConfig  # seconds to import, and errors above it should come at once

    architecture = architecture_for(str(read_config(directory)["model_type"]))
    if task not in HEAD_OF_TASK or HEAD_OF_TASK[task] not in architecture.heads:
        served = [name for name, head in HEAD_OF_TASK.items() if head in architecture.heads]
        raise UnsupportedError(
            f"{directory.name} ({architecture.model_type}): no head for task {task!r}; "
            f"it can serve {', '.join(served)}."
        )
    with read_by_transformers("config.json", directory):
        settings = AutoConfig.from_pretrained(directory)
    if isinstance(architecture, Generator):
        return open_generator(directory, task, architecture, settings.to_dict())
    # DistilBERT writes it as `dim`; the attribute is the name they all share.
    config = {**settings.to_dict(), "hidden_size": settings.hidden_size}
    architecture.check(config, directory.name)
    checkpoint = open_checkpoint(directory, architecture.prefix)
    modules = read_modules(directory, config["hidden_size"]) if HEAD_OF_TASK[task] == "encoder" else None
    recipe = Recipe(checkpoint, architecture, config, task, modules)
    _refuse_other_labels(recipe, directory.name)
    return recipe


def _refuse_other_labels(recipe: Recipe, name: str) -> None:
    """Two tasks of sequence classifiers stand or fall with the labels."""
    if recipe.task == "rerank" and len(recipe.labels) != 1:
        raise UnsupportedError(
            f"labels, for {name}: got {len(recipe.labels)}, expected 1 for rerank, the number that ranks. "
            'Build it for task = "text-classification".'
        )
    entailment = any(label.lower().startswith("entail") for label in recipe.labels)
    if recipe.task == "zero-shot-classification" and not (entailment and len(recipe.labels) > 1):
        raise UnsupportedError(
            f"labels, for {name}: got {', '.join(recipe.labels[:6])}, expected one that begins with 'entail' for "
            "zero-shot-classification, and another. Name the labels in config.json's id2label and label2id, or choose "
            "a model trained on natural language inference."
        )


def open_generator(directory: Path, task: str, architecture: Generator, config: Mapping[str, Any]) -> GenerativeRecipe:
    """A checkpoint that writes text, with its configuration's defaults filled in."""
    architecture.check(config, directory.name)
    return GenerativeRecipe(open_checkpoint(directory, architecture.prefix), architecture, config, task)


def save(
    model: ir.Model, directory: Path, name: str, part: str = "model", beside: str | None = None
) -> tuple[str, str | None]:
    """Write `PART.NAME.onnx` and, where there are large tensors, `PART.NAME.data`; gives both file names.

    Tensors that the graph `beside`, already written, has under the same name are read from its data.
    """
    graph, data = f"{part}.{name}.onnx", f"{part}.{name}.data"
    written = _external_tensors(directory / beside) if beside else {}
    large = [value for value in model.graph.initializers.values() if _bytes_of(value) > INLINE_BYTES]
    own = [value for value in large if value.name not in written]
    for value in large:
        value.const_value = written.get(str(value.name), value.const_value)
    tensors = ir.external_data.convert_tensors_to_external(
        [value.const_value for value in own if value.const_value is not None],
        directory,
        data,
        alignment=PAGE,
        align_threshold=PAGE,
        max_workers=2,
    )
    for value, tensor in zip(own, tensors, strict=True):
        value.const_value = tensor
    ir.save(model, directory / graph)
    return graph, data if own else None


def _external_tensors(graph: Path) -> dict[str, ir.ExternalTensor]:
    values = ir.load(graph).graph.initializers.values()
    return {str(v.name): v.const_value for v in values if isinstance(v.const_value, ir.ExternalTensor)}


def _bytes_of(value: ir.Value) -> int:
    return value.const_value.nbytes if value.const_value is not None else 0

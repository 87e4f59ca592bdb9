"""How much memory a process and its models take: the runtime keeps groups to it, the planner sizes functions by it."""

from __future__ import annotations

# Python, onnxruntime and the HTTP stack: 104 MiB resident with a model of 8 MiB, and room for Lambda's own.
PROCESS_MIB = 192
# Weights are mapped once, and once more where a kernel packs them.
MEMORY_PER_WEIGHT = 2
# Keys and values of the texts that are being written, for models that write.
WRITING_MIB = 256

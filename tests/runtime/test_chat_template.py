"""Chat templates, rendered as transformers renders them, in a sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from layers.errors import InputError
from layers.runtime.chat_template import render_chat
from tests.runtime.toy_artifact import TOKENIZER

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
CHAT = [
    {"role": "system", "content": "Be <brief> & kind."},
    {"role": "user", "content": "Größe?\n"},
    {"role": "assistant", "content": "12 \N{MICRO SIGN}m", "refusal": None, "tool_calls": None},
    {"role": "user", "content": "thanks \N{SMILING FACE WITH OPEN MOUTH}"},
]
TEMPLATES = {
    "blocks that are trimmed": """
{%- for message in messages %}
    {% if message['role'] == 'user' %}
        {{- '[I] ' + message['content'].strip() + ' [/I]' }}
    {% else %}
{{ message['content'] }}{{ eos_token }}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ bos_token }}{% endif %}""",
    "a first message apart": """{{ bos_token }}{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}
{{ messages[0].content | trim }}{% else %}{% set rest = messages %}{% endif %}
{% for m in rest %}{% if loop.last %}{% continue %}{% endif %}{{ loop.index0 }}:{{ m | tojson }}{% endfor %}""",
    "namespaces and JSON": """{% set ns = namespace(count=0) %}{% for m in messages %}{% set ns.count = ns.count + 1 %}
{{ m.content | tojson(indent=2) }}{% endfor %}{{ ns.count }}{{ dict(a=1) | tojson }}{{ tools is none }}""",
    "what the assistant wrote": """{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}
{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}""",
    "keys that may be there": """{% for m in messages %}{% if m.tool_calls is defined %}calls {{ m.tool_calls }}
{% endif %}{% if 'refusal' in m %}{{ m.refusal }}{% endif %}{{ m | tojson }}{% endfor %}""",
    "a break": "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_chat_is_rendered_as_transformers_renders_it(name: str) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER), **SPECIAL)
    expected = tokenizer.apply_chat_template(
        CHAT, chat_template=TEMPLATES[name], tokenize=False, add_generation_prompt=True
    )
    assert render_chat(TEMPLATES[name], CHAT, SPECIAL) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content + 1 }}", "refuses them"),
        ("{{ messages[7].content.x }}", "refuses them"),
        ("{{ messages.append(1) }}", "refuses them"),
        ("{{ ''.__class__.__mro__ }}", "refuses them"),
    ],
)
def test_what_a_template_refuses_is_the_callers_to_mend(template: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        render_chat(template, CHAT, SPECIAL)
    assert refusal.value.parameter == "messages"


def test_a_message_is_data_and_no_template() -> None:
    chat: list[dict[str, Any]] = [{"role": "user", "content": "{{ 7 * 7 }}{% for %}"}]
    assert render_chat("{{ messages[0].content }}", chat, {}) == "{{ 7 * 7 }}{% for %}"

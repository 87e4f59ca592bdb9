"""Findings of cdk-nag that are meant to be: each is acknowledged where it arises, with its reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, reason: str, *rules: str) -> None:
    """Say why these rules do not hold for a construct and all below it."""
    Validations.of(construct).acknowledge(*(Acknowledgment(id=rule, reason=reason) for rule in rules))


def as_reported(construct: IConstruct, text: str) -> str:
    """A text of the template as cdk-nag's findings name it: a reference stands between angle brackets."""
    resolved = Stack.of(construct).resolve(text)
    parts = [resolved] if isinstance(resolved, str) else resolved["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)

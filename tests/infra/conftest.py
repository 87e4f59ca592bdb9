"""One synthesis a stage for the whole session: it takes seconds, and templates are read and never changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from aws_cdk.assertions import Template

from infra.app import compose
from tests.infra.projects import app_of, write_project

os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
Templates = Mapping[str, Template]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of every kind of deployment, built."""
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def dev(project: Path) -> Templates:
    """Every stack of the dev stage, by its id."""
    return {stack.node.id: Template.from_stack(stack) for stack in compose(app_of(project, "dev"))}


@pytest.fixture(scope="session")
def prod(project: Path) -> Templates:
    """Every stack of the prod stage, by its id, in the project's own words."""
    return {stack.node.id: Template.from_stack(stack) for stack in compose(app_of(project, "prod"))}

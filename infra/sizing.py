"""How large what is deployed has to be: the table where it says so, the planner where it says `auto`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from infra import forwarder
from infra.admission import Member
from infra.planner.assumptions import Assumptions
from infra.planner.endpoint_options import endpoint_candidates
from infra.planner.option import Option
from infra.planner.plan import judged, plan_model, workload_of
from infra.planner.prices import PriceTable
from infra.planner.refusal import UnmetDemandError
from infra.reservations import reservable, reserved_by, reserved_each
from infra.stages import Stage
from layers.catalogue import DeploySpec, ModelSpec
from layers.errors import CatalogueError

Mode = Literal["realtime", "asynchronous"]


@dataclass(frozen=True)
class FunctionSize:
    """A function's share of a machine and how many of it there may be.

    `needed` environments serve the planned demand, 0 where nothing was planned. `needed_mib` hold all models, or the
    largest where the table states the memory; 0 where there is none. `warm_*` count those kept ready.
    """

    architecture: Literal["x86_64", "arm64"]
    memory_mib: int
    concurrency: int
    warm_minimum: int = 0
    warm_maximum: int = 0
    snapstart: bool = False
    needed: int = 0
    needed_mib: int = 0


@dataclass(frozen=True)
class EndpointSize:
    """A GPU endpoint's instances. An asynchronous one may go down to none.

    `invocations_per_minute` is what each instance should be given before there is another; `guessed` says that nothing
    is known of what the type takes, and that it is the demand in the table. `needed` instances serve the demand, 0
    where that is not known.
    """

    instance_type: str
    mode: Mode
    minimum: int
    maximum: int
    invocations_per_minute: float
    guessed: bool = False
    needed: int = 0


@dataclass(frozen=True)
class Size:
    """The functions of a deployment, and the endpoint behind them where the model runs on one."""

    function: FunctionSize
    endpoint: EndpointSize | None


@dataclass(frozen=True)
class _Wish:
    """What one model asks for, its table and its plan together.

    `each_per_second` is one instance's requests. Not `planned`: the table left nothing to choose, and `instances` and
    `concurrency` are what its demand needs by the planner's estimate, 0 where there is none.
    """

    target: Literal["lambda", "gpu"]
    memory_mib: int | None
    provisioned: int
    snapstart: bool
    instance_type: str | None
    mode: Mode | None
    instances: int = 0
    each_per_second: float = 0.0
    guessed: bool = False
    concurrency: int = 0
    planned: bool = True


MOST_MIB = 10240


def size(members: Sequence[Member], stage: Stage, prices: PriceTable) -> Size:
    """For one model, or for the models of a group together.

    A stage's `max_concurrency` and `max_instances` bound what the catalogue and the planner ask for. Raises
    CatalogueError where models of a group contradict each other, and as `plan_model` does.
    """
    wishes = [_wish(member, stage, prices) for member in members]
    deploy = members[0].spec.deploy
    if len({wish.target for wish in wishes}) > 1 or len({member.manifest.target for member in members}) > 1:
        raise CatalogueError(f"group {deploy.group}: its models are for different machines; build them for one target")
    wish, name, architecture = wishes[0], members[0].spec.name, members[0].manifest.target
    if wish.target == "gpu":
        if architecture != "cuda":
            raise CatalogueError(
                f"{name}: built for {architecture}, to be deployed on a GPU. Build it with --target cuda."
            )
        return _on_endpoint(deploy, wish, stage)
    if architecture not in ("x86_64", "arm64"):
        raise CatalogueError(
            f"{name}: built for {architecture}, to be deployed on functions. Build it for x86_64 or arm64."
        )
    needed = sum(each.concurrency for each in wishes)
    concurrency = _reserved(deploy, needed, stage)
    warm = max(each.provisioned for each in wishes)
    needed_mib = _needed_mib(members, wishes, prices)
    function = FunctionSize(
        architecture="arm64" if architecture == "arm64" else "x86_64",
        memory_mib=min(needed_mib, MOST_MIB) if deploy.memory_mib == "auto" else deploy.memory_mib,
        concurrency=concurrency,
        warm_minimum=min(warm, concurrency),
        warm_maximum=min(_most_warm(deploy, warm), concurrency),
        snapstart=any(each.snapstart for each in wishes) and warm == 0,
        needed=needed,
        needed_mib=needed_mib,
    )
    return Size(function, None)


def _needed_mib(members: Sequence[Member], wishes: Sequence[_Wish], prices: PriceTable) -> int:
    """What all models take together; of a stated memory, what the largest of them does.

    Models of a group are given up for one another's memory, which is slow: with what they need together none is.
    """
    if members[0].spec.deploy.memory_mib == "auto":
        return sum(each.memory_mib or 0 for each in wishes)
    return max(math.ceil(workload_of(each.spec, each.manifest, prices).needed_mib) for each in members)


def _reserved(deploy: DeploySpec, needed: int, stage: Stage) -> int:
    wanted = reserved_each(deploy, needed)
    return min(wanted, stage.max_concurrency or wanted)


def _most_warm(deploy: DeploySpec, warm: int) -> int:
    return max([warm, deploy.provisioned_max or 0, *(entry.maximum for entry in deploy.schedule)])


def _on_endpoint(deploy: DeploySpec, wish: _Wish, stage: Stage) -> Size:
    if deploy.group is not None:
        raise CatalogueError(f"group {deploy.group}: groups share a function, and its models need a GPU; remove group")
    if deploy.response_cache:
        raise CatalogueError("deploy: response_cache needs the model in the function; remove it, or the GPU")
    if deploy.snapstart:
        raise CatalogueError("deploy: snapstart needs the model in the function; remove it, or the GPU")
    if deploy.streaming and wish.mode == "asynchronous":
        raise CatalogueError('deploy: streaming needs mode = "realtime": an asynchronous endpoint answers whole, in S3')
    if wish.instance_type is None or wish.mode is None:
        raise CatalogueError("deploy: target gpu needs instance_type and mode where there is no plan")
    concurrency = _reserved(deploy, wish.concurrency, stage)
    function = FunctionSize(
        architecture=forwarder.ARCHITECTURE,
        memory_mib=forwarder.MEMORY_MIB,
        concurrency=concurrency,
        warm_minimum=min(deploy.provisioned, concurrency),
        warm_maximum=min(_most_warm(deploy, deploy.provisioned), concurrency),
        needed=wish.concurrency,
    )
    return Size(
        function,
        EndpointSize(
            wish.instance_type,
            wish.mode,
            minimum=0 if wish.mode == "asynchronous" else 1,
            # An estimate that no plan was chosen by bounds nothing.
            maximum=min(wish.instances, stage.max_instances) if wish.planned else stage.max_instances,
            invocations_per_minute=60 * wish.each_per_second,
            guessed=wish.guessed,
            needed=wish.instances,
        ),
    )


def _wish(member: Member, stage: Stage, prices: PriceTable) -> _Wish:
    """From the table alone where it leaves nothing open."""
    deploy = member.spec.deploy
    if deploy.target == "lambda" and deploy.memory_mib != "auto":
        return _Wish("lambda", deploy.memory_mib, deploy.provisioned, deploy.snapstart, None, None)
    if deploy.target == "gpu":
        _check_has_gpu(member.spec, prices)
    if deploy.target == "gpu" and deploy.instance_type != "auto" and deploy.mode != "auto":
        return _fixed_endpoint(member, deploy.instance_type, deploy.mode, prices)
    option = _chosen(member, stage, prices)
    return _Wish(
        target=option.target,
        memory_mib=option.memory_mib,
        provisioned=option.provisioned,
        snapstart=option.snapstart,
        instance_type=option.instance_type if deploy.instance_type == "auto" else deploy.instance_type,
        mode=option.mode if deploy.mode == "auto" else deploy.mode,
        instances=option.instances_max,
        # This figure leaves an instance idle part of the time already.
        each_per_second=option.each_per_second,
        concurrency=option.concurrency,
    )


def _check_has_gpu(spec: ModelSpec, prices: PriceTable) -> None:
    """A type that the price table knows to be without a card would never get healthy."""
    price = prices.instances.get(spec.deploy.instance_type)
    if price is not None and price.gpu is None:
        raise CatalogueError(
            f"[{spec.name}.deploy] instance_type: {spec.deploy.instance_type} has no GPU; name one that has, or remove "
            "the key and let the planner choose"
        )


def _fixed_endpoint(member: Member, instance_type: str, mode: Mode, prices: PriceTable) -> _Wish:
    """Nothing is left to choose: whether it meets the demand is not asked, and the stage bounds how many there may be.

    How much an instance takes is the planner's estimate; of a type that it knows nothing about, the demand itself.
    """
    work = workload_of(_unbounded(member.spec), member.manifest, prices)
    wish = _Wish("gpu", None, 0, False, instance_type, mode, planned=False)
    for option in judged(work, endpoint_candidates(work)):
        return replace(
            wish,
            instances=option.instances_max,
            each_per_second=option.each_per_second,
            concurrency=option.concurrency,
        )
    return replace(wish, each_per_second=max(member.spec.traffic.requests_per_second, 1.0), guessed=True)


def _chosen(member: Member, stage: Stage, prices: PriceTable) -> Option:
    """What the account has to reserve bounds the plan, unless the table or the stage has less reserved in any case."""
    spec, triggers = _unbounded(member.spec), member.spec.deploy.triggers
    most = reservable(stage.account_concurrency)
    try:
        return plan_model(spec, member.manifest, prices, Assumptions(reservable_concurrency=most)).chosen
    except UnmetDemandError:
        if reserved_by(triggers, _reserved(member.spec.deploy, sys.maxsize, stage)) > most:
            raise
        return plan_model(spec, member.manifest, prices, Assumptions(reservable_concurrency=sys.maxsize)).chosen


def _unbounded(spec: ModelSpec) -> ModelSpec:
    """Without the concurrency that its table states: fewer environments than the demand needs are a choice."""
    deploy = spec.deploy
    rest = deploy.model_fields_set - {"concurrency"}
    return spec.model_copy(update={"deploy": DeploySpec.model_construct(rest, **dict(deploy))})

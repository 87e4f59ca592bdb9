"""One deployment's stack: which constructs there are, and who may do what to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from aws_cdk import Annotations, CfnWaitConditionHandle, Duration, Environment, Stack, Tags
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.backend import Backend, backend_of
from infra.code import Building
from infra.constructs.alarms import AlarmTopic, ModelAlarms
from infra.constructs.budget import DEPLOYMENT_TAG, ModelBudget
from infra.constructs.dashboard import ModelDashboard
from infra.constructs.domain import UrlDomain
from infra.constructs.function import ModelFunction
from infra.constructs.golden_check import GoldenCheck
from infra.constructs.queue import JobQueue
from infra.constructs.rollout import Rollout
from infra.constructs.storage import ModelStorage
from infra.constructs.url import HttpsUrl
from infra.deployment import Deployment, monthly_budget_usd
from infra.naming import stack_name
from infra.own_metrics import NAMESPACE
from infra.planner.prices import PriceTable
from infra.shortfalls import shortfalls
from infra.sizing import FunctionSize, Size
from infra.stages import Stage
from infra.triggers import job_of
from layers.catalogue import Trigger

MODEL_TAG, STAGE_TAG = "hundredfold-model", "hundredfold-stage"
# Whose function is kept warm, the first that there is: records and objects can wait for a cold start, callers cannot.
WARMED: tuple[Trigger, ...] = ("https", "queue", "bucket")


class ModelStack(Stack):
    """A deployment that has problems becomes a stack that says them and cannot be deployed; others are not held up."""

    def __init__(
        self,
        scope: Construct,
        *,
        deployment: Deployment,
        stage: Stage,
        prices: PriceTable,
        building: Building,
    ) -> None:
        super().__init__(
            scope,
            deployment.name,
            stack_name=stack_name(deployment.name, stage.stack_prefix),
            description=f"Hundredfold: {deployment.name}, {stage.name}",
            env=Environment(account=stage.account, region=stage.region),
        )
        for problem in deployment.problems:
            Annotations.of(self).add_error(problem)
        if deployment.size is None:
            # A template must hold something; this costs nothing, and the errors keep it from being deployed.
            CfnWaitConditionHandle(self, "NotDeployable")
            return
        self._tag = f"{stage.name}/{deployment.name}"
        own = {MODEL_TAG: deployment.name, STAGE_TAG: stage.name, DEPLOYMENT_TAG: self._tag}
        for key, value in {**stage.tags, **own}.items():
            Tags.of(self).add(key, value)
        self._deployment, self._stage, self._prices = deployment, stage, prices
        self._compose(deployment.size, building)

    def _compose(self, size: Size, building: Building) -> None:
        deploy = self._deployment.members[0].spec.deploy
        budget = monthly_budget_usd(self._deployment, self._stage)
        topic = AlarmTopic(self, "Alarms", stage=self._stage).topic
        self._alarms = ModelAlarms(self, "Watch", topic=topic)
        self._dashboard = ModelDashboard(self, "Dashboard", service=self.stack_name)
        self._storage = ModelStorage(self, "Storage", deploy=deploy, stage=self._stage)
        with backend_of(self, self._deployment, size, self._stage, self._alarms, building) as backend:
            functions = {trigger: self._function(trigger, backend, size.function) for trigger in deploy.triggers}
            # A model without a URL is asked by the same image without one, as a function that nobody else invokes.
            asked = functions.get("https") or self._function("https", backend, replace(size.function, concurrency=1))
        if size.function.warm_minimum:
            functions[next(each for each in WARMED if each in functions)].keep_warm(size.function, deploy.schedule)
        for trigger, function in functions.items():
            heeded = self._alarms.watch_function(trigger.title(), function, size.function)
            heeded += self._connect(trigger, function)
            Rollout(self, f"{trigger.title()}Rollout", live=function.live, alarms=heeded, stage=self._stage)
        if size.function.concurrency:
            self._check(asked, functions.values(), backend)
            for warning, text in shortfalls(self._deployment.name, size):
                Annotations.of(self).add_warning_v2(warning, text)
        else:
            off = "concurrency = 0: no request is answered, and the new version is not checked."
            Annotations.of(self).add_warning_v2("hundredfold:switched-off", off)
        self._report(functions, size.function, backend)
        ModelBudget(self, "Budget", deployment=self._tag, monthly_usd=budget, topic=topic)

    def _function(self, trigger: Trigger, backend: Backend, size: FunctionSize) -> ModelFunction:
        deploy = self._deployment.members[0].spec.deploy
        function = ModelFunction(
            self,
            trigger.title(),
            code=backend.code(trigger),
            size=size,
            stage=self._stage,
            timeout=Duration.seconds(job_of(trigger, deploy).timeout_seconds),
            environment={
                # Not the model's name: stages of one account and region would be one in metrics and on dashboards.
                "POWERTOOLS_SERVICE_NAME": self.stack_name,
                "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
                **backend.environment(trigger),
                **self._storage.environment(trigger),
            },
        )
        backend.grant(trigger, function.function)
        self._storage.grant(trigger, function.function)
        return function

    def _connect(self, trigger: Trigger, function: ModelFunction) -> list[cloudwatch.Alarm]:
        """Lead the trigger's events to its function; returns the alarms that a rollout heeds besides the function's."""
        deploy = self._deployment.members[0].spec.deploy
        if trigger == "https":
            https = HttpsUrl(self, "HttpsUrl", live=function.live, deploy=deploy, stage=self._stage)
            if domain := self._stage.domains.get(self._deployment.name):
                UrlDomain(self, "Domain", url=https.url, live=function.live, domain=domain)
            self._dashboard.show_url(function)
            return [self._alarms.watch_url(function)]
        jobs = JobQueue(self, f"{trigger.title()}Jobs", function_timeout=function.timeout, stage=self._stage)
        jobs.feed(function.live, batch_size=job_of(trigger, deploy).batch_size, concurrency=function.concurrency)
        self._alarms.watch_queue(trigger.title(), jobs)
        self._dashboard.show_queue(trigger, jobs)
        if trigger == "queue":
            jobs.announce("QueueUrl")
        elif self._storage.bucket:
            # The rest of a large object goes back to the queue that it came by.
            jobs.queue.grant_send_messages(function.function)
            self._storage.bucket.notify(jobs.queue)
        return []

    def _check(self, asked: ModelFunction, functions: Iterable[ModelFunction], backend: Backend) -> None:
        check = GoldenCheck(
            self, "GoldenCheck", version=asked.version, members=self._deployment.members, stage=self._stage
        )
        backend.grant_check(check.function)
        for function in functions:
            function.live.node.add_dependency(check)

    def _report(self, functions: Mapping[Trigger, ModelFunction], size: FunctionSize, backend: Backend) -> None:
        self._dashboard.show_functions(functions, size)
        backend.show(self._dashboard, list(functions), self._prices)
        self._dashboard.show_cost(functions, size, self._prices)
        self._dashboard.show_alarms(self._alarms.all)

"""A monthly budget for what carries the deployment's tag; it warns before the money is spent, and again after."""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

# Its value is STAGE/MODEL: stages may share an account, and each has a budget of its own.
DEPLOYMENT_TAG = "hundredfold-deployment"
# Percent of the budget: forecast to pass it, and spent.
FORECAST, SPENT = 100, 80


class ModelBudget(Construct):
    """Counts costs by tag, which AWS does once the tag is activated for cost allocation (docs/operations.md)."""

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: str, monthly_usd: float, topic: sns.Topic
    ) -> None:
        super().__init__(scope, construct_id)
        subscriber = budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{DEPLOYMENT_TAG}${deployment}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind, comparison_operator="GREATER_THAN", threshold=percent
                    ),
                    subscribers=[subscriber],
                )
                for kind, percent in (("FORECASTED", FORECAST), ("ACTUAL", SPENT))
            ],
        )

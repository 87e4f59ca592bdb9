"""The CDK application: one stack a model or group, and the planner."""

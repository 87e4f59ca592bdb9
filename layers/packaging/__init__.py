"""From artifact to container image: the build context, the wheels that go into it, and the engine that builds it."""

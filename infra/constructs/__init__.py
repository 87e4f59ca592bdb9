"""What stacks are composed of, one construct a file."""

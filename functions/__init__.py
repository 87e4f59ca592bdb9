"""Entry points only: each handler wires a trigger to the layers below and decides nothing itself."""

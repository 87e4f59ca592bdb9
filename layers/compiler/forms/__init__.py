"""Quantized ways to compute a linear layer or an embedding; each file is one form a plan can name."""

"""Text from a decoder, one token after another: the loop, the choice of tokens, the cache of keys and values."""

"""From an artifact to predictions: what runs in every image. Knows nothing of HTTP, AWS or the compiler."""

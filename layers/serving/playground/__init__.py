"""The page a browser gets at `/`: try the model, see what an answer took, copy the call. Read only when asked for."""

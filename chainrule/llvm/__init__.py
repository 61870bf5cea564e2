"""From loop nests to native code: builders, vector mathematics, the just-in-time compiler."""

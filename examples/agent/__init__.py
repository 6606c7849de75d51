"""An agent: a model decides which tools to call, and people approve the risky ones."""

"""Fine-tune a model to a domain (`srkit adapt`)."""

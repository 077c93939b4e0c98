"""The run: from a validated document to a trained, evaluated and saved model."""

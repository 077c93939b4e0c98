"""What can run a model: PyTorch, or ONNX Runtime."""

"""Inference: faster copies of what has been trained, here and in ONNX Runtime."""

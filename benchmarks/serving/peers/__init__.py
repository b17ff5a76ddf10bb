"""The other servers, one file each. They import their framework and `onnx_model`, nothing else of ours."""

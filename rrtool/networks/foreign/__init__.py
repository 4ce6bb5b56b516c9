"""Networks of other libraries as backbones: any model of timm, and ONNX graphs in files."""

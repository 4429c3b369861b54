"""The edges: files, DICOM, MRML nodes, SimpleITK images and tensors to core types and back."""

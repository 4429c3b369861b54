"""Operations on tensors and core types: pure functions."""

"""Hugging Face models as tunesmith trains them: flat, unpadded, logits only where something is learned."""

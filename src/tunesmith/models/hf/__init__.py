"""Everything that depends on private or unstable parts of transformers and torch, and nothing else.

Their releases rename arguments, outputs and methods. So nothing here trusts a name in a signature or the text of an
error: what a model can do is found by trying it, and the result is checked. Each file has a test that fails when a
release changes what the file depends on, and the failure says what to do.

    cache       reading tokens with a KV cache
"""

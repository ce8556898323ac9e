"""Everything that depends on private or unstable parts of transformers and torch, and nothing else.

Their releases rename arguments, outputs and methods. So nothing here trusts a name in a signature or the text of an
error: what a model can do is found by trying it, and the result is checked. Each file has a test that fails when a
release changes what the file depends on, and the failure says what to do.

    attention   another attention function in a model
    blocks      the repeated layers of a model
    cache       reading tokens with a KV cache
    config      settings of a configuration
    kernels     kernels of torch without a public name
    linear      linear layers of any class
    loading     opening configurations, weights and tokenizers
    varlen      torch's attention over documents of any lengths
"""

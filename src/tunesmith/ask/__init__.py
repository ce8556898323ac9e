"""Asking models: whoever answers stands behind one protocol, and every answer is kept.

who is asked      respondent.py (the protocol, and a model on this machine), server.py (a model behind an address),
                  plain.py (base models, in plain text), place.py (how a person names a server)
on the way        client.py (HTTP: tries, deadlines, limits), reply.py (what a reply must look like),
                  safe.py (keys and terminal escapes in texts of others), cache.py (answers on disk)
"""

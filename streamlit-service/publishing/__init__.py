"""Publishing an image: from its folder to a candidate release.

A curator's tool, with a build engine of its own.
"""

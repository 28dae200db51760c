"""What the portal asks of the image registry: digests, signatures, whether a release may start."""

"""What REST v1 shows and takes: the models of its OpenAPI description."""

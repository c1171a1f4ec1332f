"""`python -m neuronetz_gateway` is `neuronetz-gateway`."""

from neuronetz_gateway import main

main()

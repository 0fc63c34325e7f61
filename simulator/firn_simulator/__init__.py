"""An account on a simulated clock: the operator's and the services' own decisions, with physics of its own."""

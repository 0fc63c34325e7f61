"""Where statements come from: generators that yield arrivals in the order of their time, each from its own seed."""

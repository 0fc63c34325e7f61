"""What the stages of a statement exchange: kept where it was made, fetched by who needs it."""

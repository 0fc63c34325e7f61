"""From Snowflake's SQL to the engine's: parse, resolve, check, translate. No I/O."""

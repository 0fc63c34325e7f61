"""Statements whose answers differ from DuckDB's by what both document, one by one."""

QUOTIENTS = {
    "q58": "a quotient of decimals, cut at eight places, is divided by 3 and multiplied by 100: DuckDB divides floats",
    "q61": "a quotient of decimals, cut at ten places, is multiplied by 100: DuckDB divides floats",
    "q66": "quotients of decimals, cut at eight places, are summed: DuckDB divides floats",
    "q83": "a quotient, cut at six places, is divided by 3.0 and multiplied by 100: DuckDB divides floats",
}
"""Statements that go on computing with a quotient: their numbers are the same within a millionth."""
RELATIVE = 1e-6
REFUSED = (
    "Schema contains duplicate unqualified field name",
    "Projections require unique expression names",
    "SanityCheckPlan",
)
"""What the engine says of statements that it cannot plan: an expression and the same with a cast get one name; a union
is sorted by one expression twice, once in each direction."""

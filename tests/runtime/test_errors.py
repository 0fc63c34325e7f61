"""Engine errors become statement errors that say what to do and keep secrets."""

import pytest
from firn_model.statements import StatementError
from firn_runtime.errors import classify, redact


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Object Store error: Object at location a/b.parquet not found", StatementError.OBJECT_MISSING),
        ("404 Not Found: <Error><Code>NoSuchBucket</Code>", StatementError.BUCKET_MISSING),
        ("404 Not Found: <Error><Code>NoSuchKey</Code>", StatementError.OBJECT_MISSING),
        ("Server returned non-2xx status code: 403 Forbidden", StatementError.ACCESS_DENIED),
        ("Error performing GET: error sending request for url (http://h/b)", StatementError.OBJECT_STORE_UNREACHABLE),
        ("Parquet error: Invalid Parquet file. Corrupt footer", StatementError.CORRUPT_FILE),
        ("Arrow error: Divide by zero error", StatementError.ARITHMETIC),
        ("Arrow error: Cast error: Cannot cast string 'a' to value of Int32 type", StatementError.TYPE),
        ("Resources exhausted: Failed to allocate additional 1.0 MB", StatementError.OUT_OF_MEMORY),
        ("Schema error: No field named nope.", StatementError.UNKNOWN_COLUMN),
        ("Error during planning: table 'datafusion.public.t' not found", StatementError.UNKNOWN_TABLE),
        ("Error during planning: Invalid function 'foo'.", StatementError.UNSUPPORTED),
        ('SQL error: ParserError("Expected: an SQL statement")', StatementError.SYNTAX),
        ("something nobody has seen", StatementError.INTERNAL),
    ],
)
def test_classifies(text: str, error: StatementError) -> None:
    found = classify(text)
    assert found.error is error
    assert found.message.endswith(".")


def test_secrets_never_appear() -> None:
    text = "GET http://h/b?X-Amz-Signature=abc&X-Amz-Credential=AKIA/x failed for sekret and token-1"
    cleaned = redact(text, ("sekret", "token-1", ""))
    for secret in ("abc", "AKIA", "sekret", "token-1"):
        assert secret not in cleaned

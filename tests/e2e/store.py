"""The account's object store, as somebody with its keys breaks things in it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

NOISE = b"this was a Parquet file once " * 100


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """An S3 client, and the URI of a small good Parquet file (TPC-H region) to make copies of."""

    s3: Any
    region_uri: str

    def copy_of_region(self, bucket: str, key: str) -> str:
        """Copy the region table's file to a bucket, made if missing, and return its URI."""
        if bucket not in {b["Name"] for b in self.s3.list_buckets()["Buckets"]}:
            self.s3.create_bucket(Bucket=bucket)
        source = urlsplit(self.region_uri)
        body = self.s3.get_object(Bucket=source.netloc, Key=source.path.lstrip("/"))["Body"].read()
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    def overwrite_with_noise(self, uri: str) -> None:
        place = urlsplit(uri)
        key = place.path.lstrip("/")
        size = self.s3.head_object(Bucket=place.netloc, Key=key)["ContentLength"]
        self.s3.put_object(Bucket=place.netloc, Key=key, Body=(NOISE * (size // len(NOISE) + 1))[:size])

    def delete(self, uri: str) -> None:
        place = urlsplit(uri)
        self.s3.delete_object(Bucket=place.netloc, Key=place.path.lstrip("/"))

    def delete_bucket(self, bucket: str) -> None:
        for item in self.s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            self.s3.delete_object(Bucket=bucket, Key=item["Key"])
        self.s3.delete_bucket(Bucket=bucket)

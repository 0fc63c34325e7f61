"""Whether a missing file's bucket is missing too: the store's answer to the engine's HEAD does not say."""

from urllib.parse import urlsplit

from firn_model.messages import ObjectStoreAccess
from pyarrow import fs

_SECONDS = 5.0


def bucket_is_missing(access: ObjectStoreAccess, bucket: str) -> bool:
    """Return whether the store says that there is no such bucket; what cannot be asked is not missing."""
    endpoint = urlsplit(access.endpoint)
    store = fs.S3FileSystem(
        access_key=access.access_key_id,
        secret_key=access.secret_access_key,
        session_token=access.session_token,
        region=access.region,
        scheme=endpoint.scheme,
        endpoint_override=endpoint.netloc,
        connect_timeout=_SECONDS,
        request_timeout=_SECONDS,
    )
    try:
        return bool(store.get_file_info(bucket).type == fs.FileType.NotFound)
    except OSError:
        return False

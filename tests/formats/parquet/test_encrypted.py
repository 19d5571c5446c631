"""Encrypted Parquet files are refused before pyarrow looks at a column that it has no key for."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError


class _Keys(pe.KmsClient):
    """Keys that are wrapped by nothing: the file need not be decrypted."""

    def wrap_key(self, key_bytes, master_key_identifier):
        return key_bytes

    def unwrap_key(self, wrapped_key, master_key_identifier):
        return wrapped_key


@pytest.mark.parametrize("footer", ["plaintext", "encrypted"])
def test_files_with_encrypted_columns_are_refused_by_name(tmp_path, footer):
    path = tmp_path / "a.parquet"
    configuration = pe.EncryptionConfiguration(
        footer_key="footer",
        column_keys={"columns": ["a"]},
        plaintext_footer=footer == "plaintext",
        double_wrapping=False,
    )
    factory = pe.CryptoFactory(lambda connection: _Keys())
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), configuration)
    table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    with pytest.raises(PlanError, match=r"a\.parquet.*encrypted, which this version can't read"):
        open_dataset(path)

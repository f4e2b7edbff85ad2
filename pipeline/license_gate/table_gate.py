"""What is looked for in a table, beside its texts: words about codes of others, flags, metadata of Parquet files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl
import pyarrow
import pyarrow.parquet
from polars.selectors import by_name

from pipeline.license_gate.as_read import with_read_forms
from pipeline.license_gate.policy import Cell, Policy
from pipeline.license_gate.tables import Table, may_hold_text, texts_of_column, texts_of_rows
from pipeline.license_gate.text_files import strings_of_metadata
from pipeline.license_gate.text_gate import FOREIGN_TOKEN, SHOWN_TEXT, TextGate
from pipeline.license_gate.tokens import HOLDS_TOKEN, LETTER, PROSE

#: Columns, and record fields that a column quotes, of which even one word is a description.
_TEXT_NAME = re.compile(r"description|text|descriptor")
_QUOTING_NAME = re.compile(r"^(old|new|raw)(_value)?$|^examples$")

FOREIGN_TEXT = "text in a row about a code or modifier of the AMA or the ADA"


class TableGate(TextGate):
    """A look at tables: each distinct text once, then in the rows of those that hold something."""

    def __init__(self, policy: Policy, forbidden_texts: Iterable[str]) -> None:
        super().__init__(policy, forbidden_texts)
        self._metadata: dict[str, list[str]] = {}
        #: Texts of tables that hold neither a token nor a withheld text.
        self._clear: set[str] = set()

    def _look_at_parquet(self, path: Path) -> None:
        with pyarrow.parquet.ParquetFile(path) as file:
            arrow, raw = file.schema_arrow, file.metadata.metadata or {}
        rows = pl.scan_parquet(path, glob=False)
        schema = rows.collect_schema()
        key = json.loads((arrow.metadata or {}).get(b"hcpcs.primary_key", b"[]"))
        table = Table(path.stem, rows, schema, tuple(k for k in key if k in schema), path)
        self._look_at_metadata(table.name, "metadata", raw)
        # The writer's own copy of the schema is in base64: looked at decoded.
        stored = raw.get(b"ARROW:schema")
        both = [arrow, pyarrow.ipc.read_schema(pyarrow.py_buffer(base64.b64decode(stored)))] if stored else [arrow]
        for schema_copy in both:
            self._look_at_metadata(table.name, "metadata", schema_copy.metadata or {})
            for one in schema_copy:
                self._look_at_field(table.name, one.name, one)
        for text, places in self._metadata.items():
            self._metadata[text] = list(dict.fromkeys(places))
        self._look_for_withheld(table.name, "", self._metadata, self._metadata.__getitem__)
        self._metadata = {}
        self.look_at_table(table)

    def _look_at_metadata(self, table: str, column: str, metadata: Mapping[bytes, bytes]) -> None:
        for name, value in metadata.items():
            if name == b"ARROW:schema":
                continue
            place = name.decode("utf-8", "replace")
            text = value.decode("utf-8", "replace")
            self.look_at_text(table, column, "", place)
            for part in strings_of_metadata(text):
                self.look_at_text(table, f"{column} {place}", "", part)
                self._metadata.setdefault(part, []).append(f"{column} {place}")

    def _look_at_field(self, table: str, column: str, one: pyarrow.Field) -> None:
        self.look_at_text(table, column, "", one.name)
        self._look_at_metadata(table, f"{column} metadata", one.metadata or {})
        for number in range(one.type.num_fields):
            self._look_at_field(table, f"{column}.{one.type.field(number).name}", one.type.field(number))

    def look_at_table(self, table: Table) -> None:
        """Look at all text values of a table, each distinct one once."""
        unclear = self._unclear(set(table.texts["text"]))
        holding = table.texts.filter(pl.col("text").is_in(unclear.implode())).partition_by("column", as_dict=True)
        for values in table.read(column for column in table.schema if (column,) in holding):
            self._look_at_column(table, values, holding[values.name,]["text"])
        self._look_at_rows_of_others(table)
        self._look_at_flags(table)

    def _unclear(self, distinct: set[str]) -> pl.Series:
        """Those of ``distinct`` that hold a token or a withheld text, whatever their columns may keep."""
        self.values += len(distinct)
        new = distinct - self._clear
        forms = with_read_forms(pl.Series(list(new), dtype=pl.String))
        unclear = forms.filter(pl.col("read").str.contains(HOLDS_TOKEN) | self._holds_withheld())["text"].unique()
        self._clear |= new.difference(unclear)
        return unclear

    def _look_at_column(self, table: Table, values: pl.Series, unclear: pl.Series) -> None:
        """Look at those texts of a column that hold something, in their rows."""
        unused = unclear.unique(maintain_order=True)
        for path, texts in texts_of_column(values):
            holding = texts.filter(pl.col("text").is_in(unclear.implode()))
            self._look_at_holding(table, path, holding)
            unused = unused.filter(~unused.is_in(holding["text"].implode()))
        # No row's flags speak for a text that is in the file alone.
        for text in unused:
            for token, _ in self._tokens(Cell(table.name, values.name, text)):
                self.leak(table.name, values.name, "in no row", token, FOREIGN_TOKEN, text)
        self._look_for_withheld(table.name, values.name, unused, lambda _: ["in no row"])

    def _look_at_holding(self, table: Table, column: str, texts: pl.DataFrame) -> None:
        """Texts that hold something: each distinct one once for each set of flags, then back to its rows."""
        flagged = texts.with_columns(table.flags[texts["row"]])
        for group in (
            flagged.group_by("text", "is_foreign", "cites_cpt", "field", maintain_order=True).agg("row").to_dicts()
        ):
            cell = Cell(table.name, column, group["text"], group["is_foreign"], group["cites_cpt"], group["field"])
            for token, condition in self._tokens(cell):
                if condition is not None:
                    self.kept[table.name, column, condition] += len(group["row"])
                    self.kept_texts.add(group["text"])
                    continue
                for key in table.row_keys(group["row"]):
                    self.leak(table.name, column, key, token, FOREIGN_TOKEN, group["text"])
        self._look_for_withheld(
            table.name,
            column,
            texts["text"],
            lambda text: table.row_keys(texts.filter(pl.col("text") == text)["row"].to_list()),
        )

    def _look_at_rows_of_others(self, table: Table) -> None:
        """In a row about another owner's code no words may stand, whoever wrote them."""
        numbers = table.flags["is_foreign"].arg_true()
        if numbers.is_empty():
            return
        columns = [column for column, dtype in table.schema.items() if may_hold_text(dtype)]
        rows = table.rows.filter(table.is_foreign).select(by_name(*columns)).collect()
        texts = texts_of_rows(rows.lazy(), rows.schema)
        for name in dict.fromkeys(column for column, text in texts.iter_rows() if LETTER.search(text)):
            for column, found in texts_of_column(rows[name]):
                if "row_of_ama_or_ada" not in self.policy.conditions(table.name, column):
                    self._look_for_words(table, column, numbers.gather(found["row"]), found["text"])

    def _look_for_words(self, table: Table, column: str, rows: pl.Series, texts: pl.Series) -> None:
        for row, text, quoted in zip(rows, texts, table.flags["field"].gather(rows), strict=True):
            stated = f"{column} {quoted}" if quoted and _QUOTING_NAME.search(column) else column
            if (_TEXT_NAME.search(stated) and LETTER.search(text)) or PROSE.search(text):
                self.leak(table.name, column, table.row_keys([row])[0], text[:SHOWN_TEXT], FOREIGN_TEXT, text)

    def _look_at_flags(self, table: Table) -> None:
        """A row about another owner's code says so: whoever filters by the flag must be safe."""
        name = next((c for c in ("code", "first_code") if {c, "redistribution"} <= table.schema.keys()), None)
        if name is None:
            return
        is_unflagged = table.names_others(name) & (pl.col("redistribution") != "withheld")
        rows = table.rows.select(pl.col(name).alias("code"), is_unflagged.alias("is_unflagged")).collect()
        unflagged = rows.with_row_index("row").filter("is_unflagged")
        for row, code in unflagged.select("row", "code").iter_rows():
            self.leak(
                table.name, "redistribution", table.row_keys([row])[0], code, "another owner's, but not marked withheld"
            )

"""Rules of the OMOP vocabulary: a database with the CDM's keys takes it, and an id never changes its meaning."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy
from conftest import Said, Version

from hcpcs.errors import HcpcsError
from hcpcs.export.omop import concept_id

#: The CDM's vocabulary tables with its keys, its checks, and one thing more: no two meanings of a code on one day.
TABLES = {
    "concept": "concept_id integer primary key check (concept_id >= 2000000000),"
    " concept_name varchar(255) not null check (concept_name <> ''), domain_id varchar(20) not null,"
    " vocabulary_id varchar(20) not null, concept_class_id varchar(20) not null,"
    " standard_concept varchar(1) check (standard_concept in ('C', 'S')),"
    " concept_code varchar(50) not null check (concept_code <> ''), valid_start_date date not null,"
    " valid_end_date date not null, invalid_reason varchar(1) check (invalid_reason in ('D', 'U')),"
    " check (valid_start_date <= valid_end_date), check (invalid_reason is null or standard_concept is null)",
    "vocabulary": "vocabulary_id varchar(20) primary key, vocabulary_name varchar(255) not null,"
    " vocabulary_reference varchar(255), vocabulary_version varchar(255),"
    " vocabulary_concept_id integer not null references concept",
    "domain": "domain_id varchar(20) primary key, domain_name varchar(255) not null,"
    " domain_concept_id integer not null references concept",
    "concept_class": "concept_class_id varchar(20) primary key, concept_class_name varchar(255) not null,"
    " concept_class_concept_id integer not null references concept",
    "relationship": "relationship_id varchar(20) primary key, relationship_name varchar(255) not null,"
    " is_hierarchical varchar(1) not null, defines_ancestry varchar(1) not null,"
    " reverse_relationship_id varchar(20) not null, relationship_concept_id integer not null references concept",
    "concept_relationship": "concept_id_1 integer not null references concept,"
    " concept_id_2 integer not null references concept, relationship_id varchar(20) not null references relationship,"
    " valid_start_date date not null, valid_end_date date not null, invalid_reason varchar(1),"
    " primary key (concept_id_1, concept_id_2, relationship_id), check (valid_start_date <= valid_end_date)",
    "concept_synonym": "concept_id integer not null references concept, concept_synonym_name varchar(1000) not null,"
    " language_concept_id integer not null references concept",
}
AFTER = (
    "alter table concept add foreign key (domain_id) references domain",
    "alter table concept add foreign key (vocabulary_id) references vocabulary",
    "alter table concept add foreign key (concept_class_id) references concept_class",
    "alter table concept add exclude using gist (concept_class_id with =, concept_code with =,"
    " daterange(valid_start_date, valid_end_date, '[]') with &&)",
)


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(postgres_url)
    yield engine
    engine.dispose()


def load(database: sqlalchemy.Engine, folder: Path) -> sqlalchemy.Connection:
    """The export in tables of its own, by COPY with the options that Athena's files are loaded by; not committed."""
    connection = database.connect()
    connection.exec_driver_sql("create extension if not exists btree_gist")
    cursor = connection.connection.cursor()
    for table, columns in TABLES.items():
        connection.exec_driver_sql(f"create temporary table {table} ({columns})")
        with (folder / f"{table.upper()}.csv").open(encoding="utf-8", newline="") as file:
            options = "format csv, delimiter E'\\t', header, quote E'\\b'"
            cursor.copy_expert(f"copy {table} from stdin with ({options})", file)
    for statement in AFTER:
        connection.exec_driver_sql(statement)
    return connection


def test_postgresql_takes_it_with_the_cdms_keys(
    sample: Version, tmp_path: Path, database: sqlalchemy.Engine, hcpcs: Callable[..., Said]
) -> None:
    said = hcpcs("export", "--omop", tmp_path / "omop", "--version", sample.folder)
    assert (said.status, said.err) == (0, "")
    codes = pl.concat(
        [
            sample.open(table).select("code", "episode", "redistribution", pl.lit(kind).alias("kind"))
            for kind, table in (("procedure", "hcpcs_codes"), ("modifier", "hcpcs_modifiers"))
        ]
    ).filter(pl.col("redistribution") == "open")
    with load(database, tmp_path / "omop") as connection:
        found = connection.exec_driver_sql(
            "select concept_code, count(*) from concept where vocabulary_id = 'HCPCS' group by 1 order by 1"
        ).fetchall()
        reused = connection.exec_driver_sql(
            "select count(*) from concept a join concept b on a.concept_code = b.concept_code"
            " and a.concept_class_id = b.concept_class_id and a.valid_end_date < b.valid_start_date"
            " where a.invalid_reason is null"
        ).scalar()
        unpaired = connection.exec_driver_sql(
            "select count(*) from concept_relationship a left join concept_relationship b on a.concept_id_1 ="
            " b.concept_id_2 and a.concept_id_2 = b.concept_id_1 where b.concept_id_1 is null"
        ).scalar()
    assert [tuple(row) for row in found] == sorted(codes.group_by("code").len().rows())
    assert (reused, unpaired) == (0, 0)


def test_a_long_text_is_a_synonym_and_no_code_of_another_system_is_anywhere(
    sample: Version, tmp_path: Path, hcpcs: Callable[..., Said]
) -> None:
    assert hcpcs("export", "--omop", tmp_path / "omop", "--version", sample.folder).status == 0
    with (tmp_path / "omop" / "CONCEPT.csv").open(encoding="utf-8") as file:
        concepts = {int(r["concept_id"]): r for r in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    with (tmp_path / "omop" / "CONCEPT_SYNONYM.csv").open(encoding="utf-8") as file:
        synonyms = {int(r["concept_id"]): r for r in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    long = sample.open("hcpcs_codes").filter(pl.col("long_description").str.len_chars() > 255)
    for row in long.to_dicts():
        key = concept_id("procedure", row["code"], row["episode"])
        assert concepts[key]["concept_name"] == (row["short_description"] or row["long_description"][:255])
        assert synonyms[key]["concept_synonym_name"] == " ".join(row["long_description"].split())[:1000]
    known = set(sample.open("hcpcs_release_records")["code"])
    with (tmp_path / "omop" / "stage" / "ANWEB_V2.csv").open(encoding="utf-8", newline="") as file:
        stage = list(csv.DictReader(file))
    assert {r["hcpc"] for r in stage} <= known
    targets = {row[f"xref{n}"] for row in stage for n in range(1, 6)} - {""}
    assert all(len(target) == 2 or re.fullmatch("[A-Z][0-9]{4}", target) for target in targets)


def test_an_id_is_a_function_of_kind_code_and_episode() -> None:
    given = {
        concept_id(kind, code, episode)
        for episode in (1, 2, 300)
        for kind, codes in (("procedure", ("A0021", "J9380", "Z9999")), ("modifier", ("00", "LT", "ZZ")))
        for code in codes
    }
    assert len(given) == 18
    assert min(given) >= 2_000_000_000
    assert max(given) < 2**31
    assert concept_id("procedure", "J9380", 2) == 2_000_599_380  # a promise to whoever stored it
    for kind, code, episode in (("procedure", "J938", 1), ("modifier", "J9380", 1), ("procedure", "J9380", 400)):
        with pytest.raises(HcpcsError, match=code):
            concept_id(kind, code, episode)

"""Rules of ``dcat.jsonld``: RDF that says what the version holds, in the words of DCAT 3, the same each time."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyshacl
import pytest
import rdflib
from conftest import Version, content_of
from rdflib import DCAT, DCTERMS, PROV, RDF, XSD

from pipeline.lineage import columns as lineage
from pipeline.versions.dcat import dcat
from schemas.registry import contracts

BASE = "https://example.org/2025.10.1/"
SPDX = rdflib.Namespace("http://spdx.org/rdf/terms#")

#: What DCAT-AP 3 holds mandatory, and DCAT 3 and PROV say of their ranges, in our own shapes.
SHAPES = """
@prefix sh: <http://www.w3.org/ns/shacl#> . @prefix dcat: <http://www.w3.org/ns/dcat#> .
@prefix dcterms: <http://purl.org/dc/terms/> . @prefix foaf: <http://xmlns.com/foaf/0.1/> .
@prefix prov: <http://www.w3.org/ns/prov#> . @prefix spdx: <http://spdx.org/rdf/terms#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .

[] a sh:NodeShape ; sh:targetClass dcat:Catalog, dcat:Dataset, dcat:DatasetSeries ;
  sh:property [ sh:path dcterms:title ; sh:minCount 1 ; sh:nodeKind sh:Literal ],
    [ sh:path dcterms:description ; sh:minCount 1 ; sh:nodeKind sh:Literal ],
    [ sh:path dcterms:publisher ; sh:minCount 1 ; sh:maxCount 1 ; sh:nodeKind sh:IRI ;
      sh:property [ sh:path foaf:name ; sh:minCount 1 ] ],
    [ sh:path dcterms:license ; sh:class dcterms:LicenseDocument ],
    [ sh:path dcterms:temporal ; sh:maxCount 1 ; sh:class dcterms:PeriodOfTime ],
    [ sh:path dcat:version ; sh:maxCount 1 ] .
[] a sh:NodeShape ; sh:targetClass dcat:Catalog ;
  sh:property [ sh:path dcat:dataset ; sh:minCount 1 ;
    sh:or ( [ sh:class dcat:Dataset ] [ sh:class dcat:DatasetSeries ] ) ] .
[] a sh:NodeShape ; sh:targetClass dcat:Dataset ;
  sh:property [ sh:path dcat:distribution ; sh:minCount 1 ; sh:class dcat:Distribution ],
    [ sh:path dcat:inSeries ; sh:class dcat:DatasetSeries ],
    [ sh:path dcat:prev ; sh:maxCount 1 ; sh:class dcat:Dataset ],
    [ sh:path prov:wasGeneratedBy ; sh:class prov:Activity ], [ sh:path prov:wasDerivedFrom ; sh:class dcat:Dataset ] .
[] a sh:NodeShape ; sh:targetClass dcat:DatasetSeries ;
  sh:property [ sh:path dcat:first ; sh:minCount 1 ; sh:class dcat:Dataset ],
    [ sh:path dcat:last ; sh:minCount 1 ; sh:class dcat:Dataset ] .
[] a sh:NodeShape ; sh:targetClass dcat:Distribution ;
  sh:property [ sh:path dcat:byteSize ; sh:minCount 1 ; sh:maxCount 1 ; sh:datatype xsd:nonNegativeInteger ],
    [ sh:path spdx:checksum ; sh:minCount 1 ; sh:maxCount 1 ; sh:class spdx:Checksum ],
    [ sh:path dcterms:license ; sh:maxCount 1 ; sh:class dcterms:LicenseDocument ],
    [ sh:path dcterms:rights ; sh:class dcterms:RightsStatement ] .
[] a sh:NodeShape ; sh:targetSubjectsOf dcat:downloadURL ;
  sh:property [ sh:path dcat:accessURL ; sh:minCount 1 ; sh:nodeKind sh:IRI ],
    [ sh:path dcat:mediaType ; sh:minCount 1 ; sh:nodeKind sh:IRI ],
    [ sh:path dcterms:license ; sh:minCount 1 ], [ sh:path dcterms:conformsTo ; sh:minCount 1 ; sh:nodeKind sh:IRI ] .
[] a sh:NodeShape ; sh:targetClass spdx:Checksum ;
  sh:property [ sh:path spdx:algorithm ; sh:hasValue spdx:checksumAlgorithm_sha256 ; sh:maxCount 1 ],
    [ sh:path spdx:checksumValue ; sh:minCount 1 ; sh:maxCount 1 ; sh:datatype xsd:hexBinary ] .
[] a sh:NodeShape ; sh:targetClass dcterms:PeriodOfTime ;
  sh:property [ sh:path dcat:startDate ; sh:minCount 1 ; sh:maxCount 1 ; sh:datatype xsd:date ],
    [ sh:path dcat:endDate ; sh:maxCount 1 ; sh:datatype xsd:date ] .
[] a sh:NodeShape ; sh:targetClass dcterms:LicenseDocument ;
  sh:property [ sh:path dcterms:title ; sh:minCount 1 ], [ sh:path rdfs:seeAlso ; sh:minCount 1 ; sh:nodeKind sh:IRI ] .
"""


@pytest.fixture(scope="module")
def graph(sample: Version) -> rdflib.Graph:
    """The catalog, as if the version were offered at ``BASE``."""
    return parsed((sample.folder / "dcat.jsonld").read_text("utf-8"))


def parsed(text: str) -> rdflib.Graph:
    return rdflib.Graph().parse(data=text, format="json-ld", publicID=BASE + "dcat.jsonld")


def asked(graph: rdflib.Graph, question: str) -> list[tuple[Any, ...]]:
    prefixes = "prefix dcat: <http://www.w3.org/ns/dcat#> prefix dcterms: <http://purl.org/dc/terms/>"
    prefixes += " prefix prov: <http://www.w3.org/ns/prov#> prefix spdx: <http://spdx.org/rdf/terms#>"
    rows: Any = graph.query(f"{prefixes} {question}")
    return [tuple(None if v is None else v.toPython() for v in row) for row in rows]


def test_it_keeps_the_shapes_of_dcat(graph: rdflib.Graph) -> None:
    conforms, _, text = pyshacl.validate(graph, shacl_graph=rdflib.Graph().parse(data=SHAPES, format="turtle"))
    assert conforms, text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: g.remove((None, DCTERMS.publisher, None)),
        lambda g: g.remove((None, SPDX.checksumValue, None)),
        lambda g: g.remove((None, RDF.type, DCTERMS.LicenseDocument)),
        lambda g: g.remove((None, DCAT.mediaType, None)),
        lambda g: g.set(
            (rdflib.URIRef(BASE + "dcat.jsonld#hcpcs_codes-parquet"), DCAT.byteSize, rdflib.Literal("much"))
        ),
        lambda g: g.add((rdflib.URIRef(BASE + "dcat.jsonld#hcpcs_codes"), PROV.wasDerivedFrom, rdflib.URIRef("urn:x"))),
    ],
    ids=["publisher", "checksum", "license", "media type", "size", "origin"],
)
def test_a_catalog_that_breaks_the_shapes_is_found(graph: rdflib.Graph, spoil: Any) -> None:
    spoiled = rdflib.Graph()
    for triple in graph:
        spoiled.add(triple)
    spoil(spoiled)
    shapes = rdflib.Graph().parse(data=SHAPES, format="turtle")
    assert pyshacl.validate(spoiled, shacl_graph=shapes)[0] is False


def test_every_word_is_one_of_its_vocabulary(graph: rdflib.Graph) -> None:
    # rdflib knows DCAT 2; these came with DCAT 3.
    terms = ("DatasetSeries", "inSeries", "first", "last", "prev", "version")
    new = {rdflib.URIRef(str(DCAT) + term) for term in terms}
    words = {*graph.predicates(), *graph.objects(None, RDF.type)}
    for vocabulary in (DCAT, DCTERMS, PROV):
        used = {w for w in words if w.startswith(str(vocabulary))}
        assert used and [w for w in used - new if w not in vocabulary] == []
    assert new <= words


def test_every_table_can_be_fetched_and_checked(sample: Version, graph: rdflib.Graph) -> None:
    rows = asked(
        graph,
        """select ?table ?address ?bytes ?sha256 ?license where {
            ?catalog a dcat:Catalog ; dcat:dataset ?dataset .
            ?dataset dcterms:identifier ?table ; dcat:distribution ?distribution .
            ?distribution dcat:downloadURL ?address ; dcat:byteSize ?bytes ; dcterms:license ?license ;
                spdx:checksum [ spdx:algorithm spdx:checksumAlgorithm_sha256 ; spdx:checksumValue ?sha256 ] }""",
    )
    assert {row[0] for row in rows} == set(contracts()) and len(rows) == len(contracts())
    for table, address, size, sha256, license_ in rows:
        entry = sample.content["files"][str(address).removeprefix(BASE)]
        assert address == f"{BASE}open/{table}.parquet"
        assert (size, sha256.hex()) == (entry["bytes"], entry["sha256"])
        assert str(license_).removeprefix(BASE) in sample.content["files"]


def test_licenses_are_the_columns_own(graph: rdflib.Graph) -> None:
    rows = asked(
        graph,
        """select ?table ?id where { ?d a dcat:Dataset ; dcterms:identifier ?table ;
            dcterms:license [ dcterms:identifier ?id ] }""",
    )
    stated = {(table, i) for table, contract in contracts().items() for i in contract.license_ids}
    assert set(rows) == stated


def test_releases_are_a_series_with_their_members(sample: Version, graph: rdflib.Graph) -> None:
    current = [r for r in sample.content["releases"] if r["is_current"]]
    rows = asked(
        graph,
        """select ?id ?revision ?day ?sha256 where {
            ?release dcat:inSeries ?series ; dcterms:identifier ?id ; dcat:version ?revision ;
                dcterms:temporal [ dcat:startDate ?day ] ;
                dcat:distribution [ spdx:checksum [ spdx:checksumValue ?sha256 ] ] . ?series a dcat:DatasetSeries }""",
    )
    assert {(i, int(r), day, sha.hex()) for i, r, day, sha in rows} == {
        (r["release_id"], r["revision"], dt.date.fromisoformat(r["release_id"] + "-01"), m["sha256"])
        for r in current
        for m in r["members"]
    }
    ids = [r["release_id"] for r in current]
    before = "select ?id ?old where { ?r dcterms:identifier ?id ; dcat:prev [ dcterms:identifier ?old ] }"
    assert sorted(asked(graph, before)) == list(zip(ids[1:], ids[:-1], strict=True))
    ends = "select ?a ?b where { ?s dcat:first [ dcterms:identifier ?a ] ; dcat:last [ dcterms:identifier ?b ] }"
    assert asked(graph, ends) == [(ids[0], ids[-1])]


def test_what_a_table_is_derived_from_is_what_lineage_says(sample: Version, graph: rdflib.Graph) -> None:
    question = """select ?table ?from where { ?d dcterms:identifier ?table ; prov:wasGeneratedBy ?run ;
        prov:wasDerivedFrom [ dcterms:identifier ?from ] . ?run a prov:Activity }"""
    found: dict[str, set[str]] = {table: set() for table in contracts()}
    for table, origin in asked(graph, question):
        found[table].add(origin)
    releases = {r["release_id"] for r in sample.content["releases"] if r["is_current"]}
    for table, origins in found.items():
        fields = {f.source for c in lineage.columns(table) for f in lineage.source_fields(table, c)}
        of_zips = any(s.startswith("cms_") and s != "cms_record_layout" for s in fields)
        assert (origins & releases) == (releases if of_zips else set()), table
        assert origins - releases <= set(contracts()) - {table}
        direct = {i for i in lineage.table_inputs(table) if i in contracts()}
        assert direct <= origins
    assert "hcpcs_history" in found["hcpcs_codes"], "by way of a table that is not published"


def test_time_covered_is_from_the_first_release_to_the_newest(sample: Version, graph: rdflib.Graph) -> None:
    question = """select distinct ?a ?b where { ?d prov:wasGeneratedBy ?run ;
        dcterms:temporal [ dcat:startDate ?a ; dcat:endDate ?b ] }"""
    ids = [r["release_id"] for r in sample.content["releases"]]
    assert asked(graph, question) == [tuple(dt.date.fromisoformat(f"{i}-01") for i in (min(ids), max(ids)))]


def test_it_is_a_pure_function_of_the_content_and_belongs_to_it(sample: Version) -> None:
    path = sample.folder / "dcat.jsonld"
    assert sample.content["files"]["dcat.jsonld"]["bytes"] == path.stat().st_size
    made = dcat(content_of(sample.content), sample.open("licenses"))
    assert made == dcat(content_of(sample.content), sample.open("licenses")) == json.loads(path.read_bytes())
    text = path.read_text("utf-8")
    assert sample.id not in text and str(sample.outputs.folder) not in text
    assert sample.manifest["build"]["created_at"][:16] not in text


def test_the_version_in_it_tells_contents_apart_and_not_encodings(sample: Version) -> None:
    def version(content: dict[str, Any]) -> str:
        (catalog,) = [
            n for n in dcat(content_of(content), sample.open("licenses"))["@graph"] if n["@type"] == "dcat:Catalog"
        ]
        found: str = catalog["dcat:version"]
        return found

    content: dict[str, Any] = json.loads(json.dumps(sample.content))
    codes = content["files"]["open/hcpcs_codes.parquet"]
    codes["sha256"] = "0" * 64
    assert version(content) == version(sample.content)
    codes["logical_sha256"] = "0" * 64
    assert version(content) != version(sample.content)
    assert version(content).startswith(sample.content["newest_release"] + "+")


def test_the_sample_is_not_said_to_be_cmss(graph: rdflib.Graph) -> None:
    assert {str(o) for o in graph.objects(None, DCAT.landingPage)} == set()
    publishers = asked(graph, "select distinct ?p where { ?d dcterms:publisher ?p }")
    assert publishers == [(f"{BASE}dcat.jsonld#makers",)]


def test_numbers_and_hashes_are_typed(graph: rdflib.Graph) -> None:
    assert {o.datatype for o in graph.objects(None, DCAT.byteSize)} == {XSD.nonNegativeInteger}  # type: ignore[attr-defined]
    assert {o.datatype for o in graph.objects(None, SPDX.checksumValue)} == {XSD.hexBinary}  # type: ignore[attr-defined]

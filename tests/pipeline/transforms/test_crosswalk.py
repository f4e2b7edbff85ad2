"""What a cross-reference is, which meaning it points to and where its chain ends: made up, and on the real releases."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from pipeline.transforms.crosswalk import (
    CROSSWALK_SCHEMA,
    crosswalk_findings,
    crosswalk_from_records,
    replaced_by_lists,
    unexplained_targets,
)
from pipeline.transforms.episodes import episodes_of_records
from pipeline.transforms.history import history_from_records, latest_states
from pipeline.transforms.license_flags import with_license_flags
from schemas.registry import enforce
from sources.curated.license_policy import load_license_policy

RECORD = {
    "release_id": pl.String,
    "kind": pl.String,
    "code": pl.String,
    "episode": pl.Int32,
    "crosswalk_targets": pl.List(pl.String),
}
STATE = {
    "kind": pl.String,
    "code": pl.String,
    "episode": pl.Int32,
    "status": pl.String,
    "first_release": pl.String,
    "last_release": pl.String,
}


def stated(release: str, code: str, *targets: str, episode: int = 1) -> dict[str, Any]:
    """A record with its cross-references."""
    return {
        "release_id": release,
        "kind": "modifier" if len(code) == 2 else "procedure",
        "code": code,
        "episode": episode,
        "crosswalk_targets": list(targets),
    }


def crosswalk(*records: dict[str, Any], ended: tuple[str, ...] = (), purged: tuple[str, ...] = ()) -> pl.DataFrame:
    """The crosswalk of made-up records; ``ended`` and ``purged`` are codes, or code and episode as ``J0001/1``."""
    held = pl.DataFrame(list(records), schema=RECORD)
    states = held.group_by("kind", "code", "episode", maintain_order=True).agg(
        pl.col("release_id").min().alias("first_release"), pl.col("release_id").max().alias("last_release")
    )
    names = pl.concat_str("code", pl.lit("/"), "episode")

    def among(which: tuple[str, ...]) -> pl.Expr:
        return pl.col("code").is_in(list(which)) | names.is_in(list(which))

    status = (
        pl.when(among(ended))
        .then(pl.lit("terminated"))
        .when(among(purged))
        .then(pl.lit("purged"))
        .otherwise(pl.lit("active"))
    )
    return crosswalk_from_records(held.lazy(), states.with_columns(status=status).select(*STATE))


def row(frame: pl.DataFrame, code: str, target: str) -> dict[str, Any]:
    return frame.filter(code=code, target=target).row(0, named=True)


def test_records_without_cross_references_give_an_empty_table_that_keeps_the_contract():
    found = crosswalk(stated("2016-01", "J0001"))
    assert found.is_empty() and found.schema == CROSSWALK_SCHEMA
    assert contracted(found).is_empty()


@pytest.mark.parametrize(
    ("target", "kind", "system", "code_system"),
    [
        ("J0002", "procedure", "HCPCS", "hcpcs-level-2"),
        ("77046", "procedure", "CPT", "cpt-category-1"),
        ("0001F", "procedure", "CPT", "cpt-category-2"),
        ("0276T", "procedure", "CPT", "cpt-category-3"),
        ("0001M", "procedure", "CPT", "cpt-maaa"),
        ("0001U", "procedure", "CPT", "cpt-pla"),
        ("U0001", "procedure", "HCPCS", "hcpcs-level-2"),
        ("D0120", "procedure", "CDT", "cdt"),
        ("QM", "modifier", "HCPCS", "hcpcs-level-2-modifier"),
        ("26", "modifier", "CPT", "cpt-modifier"),
        ("CPT", "none", "none", None),
        ("SEE", "none", "none", None),
    ],
)
def test_a_target_is_what_its_shape_says(target, kind, system, code_system):
    found = row(crosswalk(stated("2016-01", "J0001", target)), "J0001", target)
    assert (found["target_kind"], found["target_system"], found["target_code_system"]) == (kind, system, code_system)


def test_targets_are_numbered_by_first_release_then_position():
    found = crosswalk(stated("2016-01", "J0001", "J0009", "J0003"), stated("2017-01", "J0001", "J0001", "J0003"))
    assert found.select("target_number", "target", "first_release", "last_release").rows() == [
        (1, "J0009", "2016-01", "2016-01"),
        (2, "J0003", "2016-01", "2017-01"),
        (3, "J0001", "2017-01", "2017-01"),
    ]


def test_a_target_of_an_ended_episode_replaces_it_and_one_of_an_active_code_is_to_be_seen():
    records = (stated("2016-01", "J0001", "J0002"), stated("2016-01", "J0002", "J0001"))
    found = crosswalk(*records, ended=("J0001",))
    assert row(found, "J0001", "J0002")["relation"] == "replaced_by"
    assert row(found, "J0002", "J0001")["relation"] == "see_also"


def test_replaced_by_lists_what_the_last_record_of_an_ended_episode_names_in_order():
    found = crosswalk(
        stated("2016-01", "J0001", "J0008"),
        stated("2017-01", "J0001", "J0009", "J0003", "CPT"),
        stated("2017-01", "J0002", "J0003"),
        ended=("J0001",),
    )
    assert row(found, "J0001", "J0008")["is_withdrawn"] is True
    assert replaced_by_lists(found).rows() == [("procedure", "J0001", 1, ["J0009", "J0003"])]


def test_each_episode_has_its_own_targets():
    found = crosswalk(
        stated("2012-01", "J0001", "J0002"),
        stated("2017-01", "J0001", "J0003", episode=2),
        ended=("J0001/1",),
    )
    assert found.select("episode", "target_number", "target", "relation").rows() == [
        (1, 1, "J0002", "replaced_by"),
        (2, 1, "J0003", "see_also"),
    ]


@pytest.mark.parametrize(("first_named", "meaning"), [("2012-01", 1), ("2017-01", 2)])
def test_a_reused_target_means_what_it_meant_when_it_was_first_named(first_named, meaning):
    found = crosswalk(
        stated(first_named, "J0001", "J0002"),
        stated("2020-01", "J0001", "J0002"),
        stated("2012-01", "J0002"),
        stated("2017-01", "J0002", episode=2),
        stated("2020-01", "J0002", episode=2),
        purged=("J0002/1",),
    )
    target = row(found, "J0001", "J0002")
    assert (target["target_episode"], target["target_status"]) == (meaning, "purged" if meaning == 1 else "active")


def test_a_target_named_before_its_first_release_means_what_it_came_to_mean():
    found = crosswalk(stated("2016-01", "J0001", "J0002"), stated("2017-01", "J0002"))
    assert row(found, "J0001", "J0002")["target_episode"] == 1


def test_a_target_that_no_release_has_is_never_seen_another_owners_is_not_ours_and_junk_is_no_code():
    found = crosswalk(stated("2016-01", "J0001", "J0002", "77046", "CPT"))
    assert dict(found.select("target", "target_status").rows()) == {
        "J0002": "never_seen",
        "77046": "not_ours",
        "CPT": "no_code",
    }
    assert unexplained_targets(found).is_empty()


def test_a_chain_goes_through_ended_codes_to_the_one_that_stands():
    found = crosswalk(
        stated("2016-01", "J0001", "J0002"),
        stated("2016-01", "J0002", "J0003"),
        stated("2016-01", "J0003", "J0004"),
        stated("2016-01", "J0004"),
        ended=("J0001", "J0003"),
        purged=("J0002",),
    )
    for code in ("J0001", "J0002", "J0003"):
        chain = found.filter(code=code).row(0, named=True)
        assert (chain["chain_ends"], chain["chain_outcome"]) == (["J0004"], "active")


def test_a_chain_does_not_go_on_through_a_code_that_is_active():
    found = crosswalk(
        stated("2016-01", "J0001", "J0002"),
        stated("2016-01", "J0002", "J0003"),
        stated("2016-01", "J0003"),
        ended=("J0001",),
    )
    assert row(found, "J0001", "J0002")["chain_ends"] == ["J0002"]


def test_a_divided_code_has_several_chain_ends_and_the_best_outcome():
    found = crosswalk(
        stated("2016-01", "J0001", "J0002"),
        stated("2016-01", "J0002", "77046", "J0003"),
        stated("2016-01", "J0003"),
        ended=("J0001", "J0002"),
    )
    chain = row(found, "J0001", "J0002")
    assert (chain["chain_ends"], chain["chain_outcome"]) == (["77046", "J0003"], "active")


def test_an_ended_target_without_a_successor_is_a_dead_end_and_a_finding():
    found = crosswalk(stated("2016-01", "J0001", "J0002"), stated("2016-01", "J0002"), ended=("J0001", "J0002"))
    assert row(found, "J0001", "J0002")["chain_outcome"] == "dead_end"
    (finding,) = crosswalk_findings(found)
    assert (finding.finding, finding.severity, finding.examples) == ("crosswalk_dead_end", "info", ("J0001 to J0002",))


def test_replacements_that_lead_back_are_a_loop_and_a_finding():
    found = crosswalk(
        stated("2016-01", "J0001", "J0002"),
        stated("2016-01", "J0002", "J0001"),
        stated("2016-01", "J0003", "J0001"),
        stated("2016-01", "J0004", "J0004"),
        ended=("J0001", "J0002", "J0003", "J0004"),
    )
    assert set(found["chain_outcome"]) == {"loop"} and set(found["chain_ends"].list.len()) == {0}
    (finding,) = crosswalk_findings(found)
    assert (finding.finding, finding.severity, finding.occurrences) == ("crosswalk_loop", "warning", 4)


def test_a_code_that_names_its_own_earlier_meaning_is_no_loop():
    found = crosswalk(
        stated("2012-01", "J0001", "J0002"),
        stated("2012-01", "J0002", "J0001"),
        stated("2017-01", "J0002", episode=2),
        ended=("J0001", "J0002/1"),
    )
    assert row(found, "J0001", "J0002")["target_episode"] == 1
    assert row(found, "J0001", "J0002")["chain_outcome"] == "loop"
    onward = crosswalk(
        stated("2017-01", "J0001", "J0001"),
        stated("2012-01", "J0001"),
        stated("2019-01", "J0001", episode=2),
        ended=("J0001/1",),
    )
    assert row(onward, "J0001", "J0001")["chain_outcome"] == "loop"


def test_a_modifier_may_be_a_target_and_have_one():
    found = crosswalk(stated("2016-01", "AM", "QM"), stated("2016-01", "QM"), ended=("AM",))
    assert row(found, "AM", "QM")["kind"] == "modifier"
    assert (row(found, "AM", "QM")["target_kind"], row(found, "AM", "QM")["target_status"]) == ("modifier", "active")


def test_findings_name_no_code_of_another_owner():
    found = crosswalk(stated("2016-01", "J0001", "77046", "0276T", "D0120", "J0002", "CPT"), ended=("J0001",))
    text = " ".join(example for finding in crosswalk_findings(found) for example in finding.examples)
    assert "J0002" in text and "CPT" in text
    assert not any(foreign in text for foreign in ("77046", "0276T", "D0120"))


# --- the real releases -----------------------------------------------------------------------------------------------


def contracted(found: pl.DataFrame) -> pl.DataFrame:
    return enforce("hcpcs_crosswalk", with_license_flags("hcpcs_crosswalk", found, load_license_policy()))


@pytest.fixture(scope="module")
def real(real_records: pl.DataFrame) -> pl.DataFrame:
    """Records of every real release at hand, with episodes."""
    return episodes_of_records(real_records.drop("revision"))


@pytest.fixture(scope="module")
def walk(real: pl.DataFrame) -> pl.DataFrame:
    return crosswalk_from_records(real.lazy(), latest_states(real, history_from_records(real)))


def test_the_real_crosswalk_keeps_the_contract_and_explains_every_target(walk, real):
    assert contracted(walk).height == walk.height
    assert unexplained_targets(walk).is_empty()
    pairs = real.explode("crosswalk_targets").drop_nulls("crosswalk_targets")
    assert walk.height == pairs.select("kind", "code", "episode", "crosswalk_targets").n_unique()


def test_real_junk_modifiers_and_withdrawn_targets_are_known(walk):
    assert walk.filter(target_status="no_code")["target"].to_list() == ["CPT"]
    assert row(walk, "AM", "QM")["target_kind"] == "modifier"
    # The year after its end, CMS exchanged the code that was to follow C9468.
    assert row(walk, "C9468", "J7023")["is_withdrawn"] is True
    assert ["C9468"] not in walk.filter(target="J7023", is_withdrawn=False).select("code").rows()


def test_real_chains_end(walk):
    assert walk.filter(chain_outcome="loop").is_empty()
    assert row(walk, "C9278", "Q2040")["chain_ends"] == ["J0588"]
    # Q2040 has another meaning since; its first one is what C9278 went to.
    assert row(walk, "C9278", "Q2040")["target_episode"] == 1
    assert row(walk, "J3358", "Q9989")["chain_ends"] == ["J3358"]

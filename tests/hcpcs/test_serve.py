"""``hcpcs serve`` and ``hcpcs mcp``, from outside: the same answers as the commands, and nothing that is withheld."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from conftest import Version
from engines import engines_python

from pipeline.license_gate.check import check_files
from pipeline.license_gate.report import LicenseLeak
from sources.curated.license_policy import load_license_policy

HCPCS = Path(sys.executable).parent / "hcpcs"
#: No number of another owner is written here.
CPT = "9" * 5
#: Columns that answers quote: what the policy lets these keep, it lets an answer keep. Manuals have numbers like codes.
TEXTS = [f"hcpcs_{t}.{c}" for t in ("codes", "history") for c in ("short_description", "long_description")]
NUMBERS = [f"hcpcs_codes.{c}" for c in ("statute_ref", "carriers_manual_refs", "coverage_manual_refs")]
NUMBERS += ["hcpcs_changes.old", "hcpcs_changes.new"]


@pytest.fixture(scope="module")
def server(sample: Version) -> Iterator[httpx2.Client]:
    """The installed command, serving the sample on a free port."""
    command = [HCPCS, "serve", "--port", "0", "--outputs", sample.outputs.folder]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = None
        for line in process.stderr:
            if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                url = found[1]
                break
        assert url, "the server did not start"
        with httpx2.Client(base_url=url, trust_env=False, timeout=30) as client:
            yield client
        process.terminate()
        process.communicate()
    assert process.returncode in (0, -15, 143)


def command(sample: Version, *arguments: str) -> object:
    done = subprocess.run(
        [HCPCS, *arguments, "--json", "--outputs", sample.outputs.folder], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_lookup_is_what_the_command_answers_with_version_and_licenses(server: httpx2.Client, sample: Version) -> None:
    answer = server.get("/codes/J0570", params={"on": "2018-06-30"}).json()
    assert answer["answer"] == command(sample, "lookup", "J0570", "--on", "2018-06-30")
    assert answer["version"] == sample.id and answer["newest_release"] == sample.content["newest_release"]
    assert list(answer["licenses"]) == ["LicenseRef-US-Gov-Public-Domain-17USC105"]
    assert answer["withheld"] == [] and answer["stated"]
    assert server.get("/codes/J0570").json()["answer"] == command(sample, "lookup", "J0570")


def test_a_withheld_text_is_null_and_named(server: httpx2.Client, sample: Version) -> None:
    code = sample.open("hcpcs_modifiers").filter(redistribution="withheld")["code"][0]
    answer = server.get(f"/codes/{code}").json()
    assert answer["answer"][0]["long_description"] is None
    assert answer["withheld"] == [
        {"code": code, "fields": ["short_description", "long_description"], "license_id": "LicenseRef-AMA-CPT"}
    ]


def test_a_code_of_another_owner_is_answered_by_its_format(server: httpx2.Client) -> None:
    response = server.get(f"/codes/{CPT}")
    answer = response.json()
    assert (response.status_code, answer["stated"], answer["answer"]["steward"]) == (200, False, "AMA")
    assert [w["license_id"] for w in answer["withheld"]] == ["LicenseRef-AMA-CPT"]


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("/codes/J0001", 404, "no loaded release states"),
        ("/codes/nothing%20at%20all", 400, "neither a five-character code"),
        ("/codes/J0570?on=2018-02-30", 400, "not a date in the format YYYY-MM-DD"),
        ("/codes/J0570?day=2018-06-30", 400, "unknown parameters day; there are code, on"),
        ("/changes?release=1999-01", 404, "1999-01 is not loaded"),
        ("/changes?limit=0", 400, "limit: 0 is not from 1"),
        ("/changes?offset=-1", 400, "offset: '-1' is no whole number from 0 on"),
        (f"/changes?limit={'9' * 5_000}", 400, "limit: '99999999999999999999' is no whole number"),
        ("/codes/J0570?on=2014-06-30&on=2018-06-30", 400, "given twice: on"),
        ("/codes/J0570?code=J1100", 400, "given twice: code"),
        ("/search", 400, "q: words"),
        ("/search?q=rod&limit=x", 400, "no whole number"),
        ("/check", 400, "0 codes"),
        ("/nowhere", 404, "no such path"),
    ],
)
def test_a_question_without_answer_is_one_error(server: httpx2.Client, url: str, status: int, words: str) -> None:
    response = server.get(url)
    assert response.status_code == status
    assert words in response.text and "Traceback" not in response.text
    assert response.headers["content-type"] == "application/json"


def test_a_list_is_checked_as_the_command_checks_it(server: httpx2.Client, sample: Version, tmp_path: Path) -> None:
    codes = [*sample.open("hcpcs_codes")["code"].unique().sort().to_list(), "J1100-JW", CPT, "RH"]
    path = tmp_path / "codes.txt"
    path.write_text("\n".join(codes))
    expected = command(sample, "check", str(path), "--on", "2019-06-30", "--since", "2017-01")
    asked = {"codes": codes, "on": "2019-06-30", "since": "2017-01"}
    assert server.post("/check", json=asked).json()["answer"] == expected
    some = server.get("/check", params={"codes": ",".join(codes[:3]), "on": "2019-06-30", "since": "2017-01"}).json()
    assert some["answer"] == expected[:3]  # type: ignore[index]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"codes": "J0570"}', b'{"codes": [1]}', b'{"codes": ["J0570"], "x": 1}', b"[" * 100_000]
)
def test_a_list_that_cannot_be_read_is_one_error(server: httpx2.Client, body: bytes) -> None:
    response = server.post("/check", content=body)
    assert response.status_code == 400 and list(response.json()) == ["version", "error"]
    assert server.post("/check", content=b" " * 1_000_001).status_code == 413


def test_search_and_changes_are_what_the_commands_answer(server: httpx2.Client, sample: Version) -> None:
    found = server.get("/search", params={"q": "smaple rod", "limit": 500}).json()
    assert found["answer"] == command(sample, "search", "smaple rod") and found["total"] == len(found["answer"]) > 0
    changes = server.get("/changes", params={"release": "2017-01", "limit": 5000}).json()
    assert changes["answer"] == command(sample, "changes", "2017-01")
    assert changes["total"] == len(changes["answer"]) > 3
    page = server.get("/changes", params={"release": "2017-01", "limit": 2, "offset": 1}).json()
    assert page["answer"] == changes["answer"][1:3] and page["total"] == changes["total"]
    one = changes["answer"][0]
    some = server.get("/changes", params={"release": "2017-01", "codes": one["code"], "change": one["change"]}).json()
    assert some["answer"] == [c for c in changes["answer"] if (c["code"], c["change"]) == (one["code"], one["change"])]


def test_an_answer_is_not_sent_again_to_who_has_it(server: httpx2.Client, sample: Version) -> None:
    first = server.get("/codes/J0570?on=2018-06-30")
    tag = first.headers["etag"]
    assert tag.startswith(f'"{sample.id}-')
    again = server.get("/codes/J0570?on=2018-06-30", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert server.get("/codes/J0570?on=2018-06-30", headers={"If-None-Match": '"2000.01.1"'}).status_code == 200
    assert server.get("/codes/J0570").headers["etag"] != tag, "an answer for today is another one tomorrow"


def test_only_reading_and_only_by_a_name_of_this_machine(server: httpx2.Client) -> None:
    assert server.delete("/codes/J0570").status_code == 405
    assert server.get("/codes/J0570", headers={"Host": "example.org"}).status_code == 400
    assert "access-control-allow-origin" not in server.get("/codes/J0570", headers={"Origin": "https://a.org"}).headers


def test_the_description_is_valid_openapi_and_names_every_path(server: httpx2.Client, tmp_path: Path) -> None:
    described = server.get("/openapi.json").json()
    assert set(described["paths"]) == {"/", "/openapi.json", "/codes/{code}", "/check", "/search", "/changes"}
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(described))
    code = "import json, sys, openapi_spec_validator as v; v.validate(json.load(open(sys.argv[1])))"
    done = subprocess.run([engines_python("openapi_spec_validator"), "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_answers_are_what_the_description_says(server: httpx2.Client) -> None:
    import jsonschema

    schemas = server.get("/openapi.json").json()
    for url, name in (
        ("/codes/J0570", "LookupAnswer"),
        (f"/codes/{CPT}", "LookupAnswer"),
        ("/check?codes=J0570,RH", "Answer"),
        ("/search?q=rod", "PageAnswer"),
        ("/changes", "PageAnswer"),
        ("/codes/nothing%20at%20all", "Error"),
        ("/", "Start"),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": schemas["components"]}
        jsonschema.validate(server.get(url).json(), schema)


def test_the_bounds_that_the_description_states_are_those_that_are_kept(server: httpx2.Client) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    for url in ("/search?q=rod", "/changes?release=latest"):
        for stated in paths[url.split("?")[0]]["get"]["parameters"]:
            for bound, beyond in (("minimum", -1), ("maximum", 1)):
                if (number := stated["schema"].get(bound)) is None:
                    continue
                assert server.get(f"{url}&{stated['name']}={number}").status_code == 200, stated["name"]
                assert server.get(f"{url}&{stated['name']}={number + beyond}").status_code == 400, stated["name"]
    body = paths["/check"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    most = body["properties"]["codes"]["maxItems"]
    assert server.post("/check", json={"codes": ["J0570"] * most}).status_code == 200
    assert server.post("/check", json={"codes": ["J0570"] * (most + 1)}).status_code == 400


def test_recorded_answers_pass_the_license_gate(server: httpx2.Client, sample: Version, tmp_path: Path) -> None:
    history = sample.open("hcpcs_history")
    codes, releases = history["code"].unique().sort(), sample.open("hcpcs_releases")["release_id"].unique().sort()
    texts = [f"/codes/{code}?on=2019-06-30" for code in codes]
    texts += ["/search?q=sample&limit=500", f"/check?codes={','.join(codes)}&on=2019-06-30"]
    numbers = [f"/codes/{code}" for code in codes] + [f"/changes?release={r}&limit=5000" for r in releases]
    policy = load_license_policy()
    for name, urls, shows in (("texts", texts, TEXTS), ("numbers", numbers, TEXTS + NUMBERS)):
        (tmp_path / name).mkdir()
        for number, url in enumerate(urls):
            response = server.get(url)
            assert response.status_code == 200, url
            (tmp_path / name / f"{number}.json").write_bytes(response.content)
        assert check_files(tmp_path / name, policy, name=name, shows=shows).files == len(urls)
    (tmp_path / "texts" / "planted.json").write_text(json.dumps({"answer": {"target": CPT}}))
    with pytest.raises(LicenseLeak):
        check_files(tmp_path / "texts", policy, name="answers", shows=TEXTS)


def test_a_client_of_mcp_lists_the_tools_and_gets_the_same_answers(server: httpx2.Client, sample: Version) -> None:
    from mcp import Client, StdioServerParameters  # half a second, in each process that collects tests

    started = StdioServerParameters(command=str(HCPCS), args=["mcp", "--outputs", str(sample.outputs.folder)])

    async def ask() -> None:
        async with Client(started, read_timeout_seconds=60) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"lookup_code", "check_codes", "search_codes", "list_changes"}
            assert all(t.annotations and t.annotations.read_only_hint and t.description for t in tools.values())
            for tool, arguments, url in (
                ("lookup_code", {"code": "J0570", "on": "2018-06-30"}, "/codes/J0570?on=2018-06-30"),
                ("lookup_code", {"code": CPT}, f"/codes/{CPT}"),
                ("check_codes", {"codes": ["J0570"], "on": "2018-06-30"}, "/check?codes=J0570&on=2018-06-30"),
                ("search_codes", {"words": "rod", "limit": 5}, "/search?q=rod&limit=5"),
                ("list_changes", {"release": "2017-01", "limit": 3}, "/changes?release=2017-01&limit=3"),
            ):
                result = await client.call_tool(tool, arguments)
                assert not result.is_error, result
                assert result.structured_content == server.get(url).json(), tool
            refused = await client.call_tool("lookup_code", {"code": "nothing at all"})
            assert refused.is_error and "neither a five-character code" in refused.content[0].text  # type: ignore[union-attr]

    asyncio.run(ask())

"""Links are read from the page and told apart; what is not clear is said, not guessed."""

import pytest

from sources.site.page import PageUnclear, SiteLink, check_for_releases, classify_link, read_page

AT = "https://www.cms.gov/medicare/coding-billing/healthcare-common-procedure-system/quarterly-update"


def read_links(html: str, url: str) -> list[SiteLink]:
    """The links of a page that stands alone."""
    read = read_page(html, url)
    check_for_releases(read.links, url, read.title)
    return list(read.links)


def page(*links: tuple[str, str], head: str = "") -> str:
    items = "".join(f'<p><a class="x" href="{href}"><span>{text}</span></a>' for href, text in links)
    return f"<html><head><title>Quarterly Update</title>{head}</head><body>{items}"


@pytest.mark.parametrize(
    ("href", "text", "kind", "release"),
    [
        ("/files/zip/april-2026-alpha-numeric-hcpcs-file.zip", "April 2026 File (ZIP)", "release", "2026-04"),
        ("/files/zip/october-2023-alpha-numeric-hcpcs-files.zip", "", "release", "2023-10"),
        ("/files/zip/January-2024-Alpha-Numeric-HCPCS-File.ZIP", "January 2024", "release", "2024-01"),
        ("https://www.cms.gov/files/zip/hcpc2025_oct_anweb_v4.zip", "October 2025", "release", "2025-10"),
        ("/files/zip/hcpc2026_apr_anweb_0.zip", "", "release", "2026-04"),
        ("/Downloads/2019-Alpha-Numeric-HCPCS-File.zip", "2019 file", "release", "2019-01"),
        ("/downloads/11anweb.zip", "", "release", "2011-01"),
        ("/files/zip/2024-alpha-numeric-hcpcs-file.zip", "July 2024 File", "release", "2024-07"),
        ("/files/zip/alpha-numeric-hcpcs-file.zip", "October 2024 Alpha-Numeric HCPCS File", "release", "2024-10"),
        ("/x/july-2026-alpha-numeric-hcpcs-file.zip", "July 2026 - posted 06/17/2026", "release", "2026-07"),
        ("/x/january-2026-alpha-numeric-hcpcs-file-updated-12-29-2025.zip", "December 29, 2025", "release", "2026-01"),
        ("/x/2019-HCPCS-Alpha-Numeric-Corrections.zip", "", "side", "2019-01"),
        ("/x/2020-corrections-alpha-numeric-hcpcs-file.zip", "", "side", "2020-01"),
        ("/x/2019-HCPCS-NOC-Codes.zip", "", "side", "2019-01"),
        ("/x/2018-HCPCS-Record-Layout-.zip", "", "side", "2018-01"),
        ("/x/april-2026-table-drugs.zip", "April 2026 HCPCS Table of Drugs", "other", None),
        ("/x/april-2026-dmepos-hcpcs.zip", "", "other", None),
        ("/x/provider-list.zip", "Providers", "other", None),
        ("/files/zip/april-2026-alpha-numeric-hcpcs-file.zip-0", "", "release", "2026-04"),
        ("/files/zip/april-2026-alpha-numeric-hcpcs-file_0.zip", "", "release", "2026-04"),
        ("/media/493046", "January 2024 Alpha-Numeric HCPCS File (ZIP)", "release", "2024-01"),
        ("/media/493047", "2019 HCPCS Corrections", "side", "2019-01"),
        ("/media/493048", "January 2024 (ZIP)", "unclear", None),
        ("/license/ama?file=/files/zip/april-2026-alpha-numeric-hcpcs-file.zip", "April 2026", "unclear", None),
        ("/apps/ama/license.asp?file=/files/zip/09anweb.zip", "2009", "unclear", None),
        ("/license/ama?file=/files/zip/clinical-lab-fees.zip", "Lab fees", "other", None),
        ("/x/2024-alpha-numeric-hcpcs-file.zip", "2024 file", "unclear", None),
        ("/x/april-2026-alpha-numeric-hcpcs-file.zip", "January 2026 file", "unclear", None),
        ("/x/march-2026-alpha-numeric-hcpcs-file.zip", "", "unclear", None),
        ("/x/hcpcs-2026.zip", "It may be used", "unclear", None),
        ("/x/2023-hcpcs-noc-codes.zip", "NOC codes", "unclear", None),
    ],
)
def test_name_and_text_say_what_a_link_is(href, text, kind, release):
    link = classify_link(f"https://www.cms.gov{href}" if href.startswith("/") else href, text)
    assert (link.kind, link.release_id) == (kind, release)
    assert (link.why is None) == (release is not None), "what is not taken has a reason"


def test_a_contradiction_names_both_sides():
    link = classify_link("https://www.cms.gov/x/april-2026-alpha-numeric-hcpcs-file.zip", "January 2026 file")
    assert "2026-04" in link.why and "2026-01" in link.why


def test_relative_absolute_and_repeated_links_are_one_each():
    links = read_links(
        page(
            ("/files/zip/april-2026-alpha-numeric-hcpcs-file.zip", ""),
            ("https://www.cms.gov/files/zip/april-2026-alpha-numeric-hcpcs-file.zip#top", "April 2026"),
            ("../../../files/zip/july-2026-alpha-numeric-hcpcs-file.zip ", "July 2026"),
            ("/files/document/guide.pdf", "Guide"),
            ("mailto:someone@example.org?subject=x.zip", "mail"),
            ("http://[bad/x.zip", "broken"),
        ),
        AT,
    )
    assert [link.url for link in links] == [
        "https://www.cms.gov/files/zip/april-2026-alpha-numeric-hcpcs-file.zip",
        "https://www.cms.gov/files/zip/july-2026-alpha-numeric-hcpcs-file.zip",
    ]
    assert links[0].text == "April 2026"


def test_a_base_element_decides_where_relative_links_lead():
    html = page(("zip/11anweb.zip", "2011"), head='<base href="https://downloads.cms.gov/files/">')
    assert read_links(html, AT)[0].url == "https://downloads.cms.gov/files/zip/11anweb.zip"


def test_the_layout_round_a_link_does_not_matter():
    html = (
        "<title>New</title><main><table><tr><td>April 2026<td><a title=x\nHREF='/files/zip/11anweb.zip'>2011 "
        "<b>file</b></a></table><script>var a = '<a href=\"/files/zip/12anweb.zip\">';</script>"
        '<!-- <a href="/files/zip/13anweb.zip">2013</a> -->'
    )
    links = read_links(html, AT)
    assert [(link.name, link.text) for link in links] == [("11anweb.zip", "2011 file")]


def test_two_hundred_links_are_all_read():
    html = page(
        *((f"/files/zip/hcpc{2000 + n // 4}_{q}_anweb_v{n}.zip", "") for n in range(100) for q in ("jan", "jul"))
    )
    links = read_links(html, AT)
    assert len(links) == 200 and all(link.kind == "release" for link in links)


@pytest.mark.parametrize(
    ("html", "says"),
    [
        (page(), "no link to a zip"),
        (page(("/files/zip/providers.zip", "x")), "one link to a zip and none"),
        ("", "no link to a zip"),
        ("\0\1\2", "no link to a zip"),
    ],
)
def test_a_page_without_releases_is_an_error_that_names_it(html, says):
    with pytest.raises(PageUnclear, match=says) as error:
        read_links(html, AT)
    assert AT in str(error.value) and "--site" in str(error.value)

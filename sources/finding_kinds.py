"""The kinds of findings: how severe each is, what it means, and what is done about it. docs/findings.md follows.

What a single finding says, with its value and place, is written where it is found.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["info", "warning", "error"]


class Kind(NamedTuple):
    """A kind of finding: its ``severity``, its meaning, and the ``action`` where it is the same for all of the kind.

    ``also`` is the severity that some have.
    """

    severity: Severity
    meaning: str
    action: str = ""
    also: Severity | None = None


#: What may be found in a code file, in the order of reading it.
OF_CODE_FILES = {
    "preamble": Kind("info", "text above the first record", "left out"),
    "trailer": Kind("info", "text below the last record", "left out"),
    "stray_first_character": Kind("info", "the line begins with a character of no field; replaced or dropped"),
    "tab_in_line": Kind("info", "a tab in a line; replaced by blanks, so that later fields are in place"),
    "line_length": Kind(
        "info", "a longer or shorter line than others; a warning if fields are concerned", also="warning"
    ),
    "late_sequence_start": Kind(
        "info",
        "records whose sequence does not begin with 001",
        "read as they are: a record starts at record id 3 or 7",
    ),
    "sequence_out_of_order": Kind(
        "warning", "continuations whose numbers do not rise", "joined in the order of the lines"
    ),
    "code_page_damage": Kind("info", "cp1252 punctuation that was decoded as cp437", "undone"),
    "control_character": Kind("warning", "a character that cannot be displayed (ESC, NUL)", "replaced by blanks"),
    "character_beyond_ascii": Kind("info", "a character that no known damage explains", "kept"),
    "lost_character": Kind("info", "a question mark within a word", "kept"),
    "odd_form": Kind("info", "a date or number in another format, but unambiguous; read"),
    "unreadable_value": Kind(
        "warning",
        "a date or number that cannot be read; null, or refused where it decides on validity",
        "left null",
        also="error",
    ),
    "digits_lost": Kind(
        "warning", "a code that a spreadsheet took for a number (`0` for `00`)", "read with all its digits"
    ),
    "retyped_value": Kind(
        "warning",
        "a code that a spreadsheet took for a day or a power of ten (`30-Jan` for `30-1`)",
        "left null: what it was cannot be known",
    ),
    "misshapen_code": Kind(
        "warning", "a value that no code of the field can be; an error if a quarter of the values are so", also="error"
    ),
    "unknown_value": Kind("warning", "a coded value that CMS's record layout does not list", "kept"),
    "repeated_record": Kind("warning", "the same record twice", "the first is kept"),
    "unknown_column": Kind("warning", "a heading that is not known", "the column is left out"),
    "absent_column": Kind("warning", "a column of the record layout that a workbook lacks", "left null"),
    "forms_disagree": Kind(
        "warning", "text and workbook differ in a field, by cause", "the text is the source", also="info"
    ),
    "record_in_one_form": Kind("warning", "a record that only the text or only the workbook has; the text is used"),
    "not_a_record": Kind("error", "a line or row that is not a record", also="warning"),
    "continuation_without_record": Kind("error", "a line or row that continues no record", "refused"),
    "no_records": Kind("error", "a code file without any record", "refused"),
    "contradicting_records": Kind("error", "the same code twice with different content", "refused"),
    "dates_out_of_order": Kind(
        "error", "a termination date before the added date", "refused: it decides on which days the code was valid"
    ),
    "code_shape": Kind("error", "the value in the code's place is not a code", "refused"),
}

#: What may be found in a release's zips.
OF_RELEASES = {
    "no_code_file": Kind("error", "no member of the release is a code file", "refused"),
    "two_code_files": Kind(
        "error", "one zip has two different code files", "refused: which of them is the release cannot be known"
    ),
    "unreadable_member": Kind("warning", "a member named like a code file that cannot be read as one", also="error"),
    "date_after_release": Kind(
        "warning", "days that lie after the release's quarter", "kept; is the release named right?"
    ),
    "revision_order_unknown": Kind(
        "warning", "the members do not state the order of two revisions", "ordered by their hashes"
    ),
    "posted_in_other_bytes": Kind(
        "info",
        "the records of another posting (other line ends, a text alone)",
        "no revision of its own: the posting with more of CMS's files is read",
    ),
    "member_not_read": Kind(
        "warning",
        "a member that no reader knows; info for a read-me or a record layout",
        "kept in the archive: no table is made of it",
        also="info",
    ),
}

#: What may be found in side files; docs/side-files.md says how they are read.
OF_SIDE_FILES = {
    "side_file_unreadable": Kind("warning", "a side file that cannot be read", "the member is left out"),
    "twin_not_read": Kind("info", "a text that repeats a workbook", "compared and left out"),
    "twins_differ": Kind("warning", "a text and its workbook differ", "what was read first is used"),
    "stated_by_several_members": Kind("warning", "two members differ on one item", "the newest member's is used"),
    "print_file_cut": Kind(
        "warning", "a print file whose columns are cut", "cells kept unchanged, unread columns left null"
    ),
    "artifact_removed": Kind("info", "control characters, or what Excel writes for them", "removed"),
    "line_without_code": Kind("warning", "a line that does not begin with a code", "left out", also="info"),
    "lower_case_code": Kind("info", "a code in lower case", "upper-cased"),
    "text_too_long": Kind("warning", "a text of more than 10,000 characters", "left null"),
    "odd_date": Kind("warning", "a value that is no day", "left null"),
    "unknown_action": Kind("warning", "words that are not an action code, or none", "left null"),
    "action_key_differs": Kind(
        "warning", "the report's own key gives words to another action code", "the known meaning is kept"
    ),
    "repeated_line": Kind("info", "a line of a report that is there already", "left out"),
    "contradicting_line": Kind("warning", "two lines of a report on one code that differ", "both kept, numbered"),
    "action_not_understood": Kind(
        "info", "a correction whose text states no known change", "the words are kept, the action is 'other'"
    ),
    "correction_without_value": Kind("info", "a correction that does not state the new value", "left null"),
    "prose_and_column_differ": Kind("warning", "a correction's text and its columns differ", "the text is used"),
    "codes_of_other_systems": Kind("warning", "codes of the ADA or the AMA among unlisted codes", "left out"),
    "listed_twice": Kind(
        "warning", "a code that is listed already; merged if alike", "the first line is used", also="info"
    ),
    "continued_line": Kind("info", "a line that continues a description", "joined"),
    "note_twice": Kind("warning", "a note that is there already; merged if alike", "the first is used", also="info"),
    "note_without_text": Kind("info", "a note that has a number alone", "left null"),
}

#: What may be found when releases are compared.
OF_HISTORY = {
    "vanished": Kind("warning", "a code removed other than by a due purge; see [history.md](history.md)", also="info"),
    "missing_for_a_time": Kind("info", "a code that some releases lack; see [history.md](history.md)"),
    "episode_uncertain": Kind(
        "warning", "whether a code still has its earlier meaning; see [episodes.md](episodes.md)"
    ),
    "episode_overridden": Kind("info", "the same, decided by a curated override"),
    "override_without_record": Kind("info", "a curated override that meets no record", "none"),
    "report_disagrees": Kind("warning", "a transaction report and its release's records differ", "the record is used"),
    "crosswalk_loop": Kind("warning", "replacements that lead back to themselves", "the chain has no end"),
    "crosswalk_dead_end": Kind("info", "replacements that have ended without a successor", "the chain ends there"),
    "crosswalk_target_never_seen": Kind("info", "targets that no loaded release has", "kept as stated"),
    "crosswalk_target_no_code": Kind(
        "info", "targets in the format of no code", "kept as stated, no chain leads there"
    ),
}

KINDS = OF_CODE_FILES | OF_RELEASES | OF_SIDE_FILES | OF_HISTORY

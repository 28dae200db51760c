"""Guide: the guides that lie in the portal's folder, as pages; nobody needs another place."""

from __future__ import annotations

import base64
import re
from html import escape
from pathlib import Path

import streamlit as st
from portal.core.people import Role

from app_pages.parts import session

EVERYBODYS = {"User guide": "USER_GUIDE"}
FIRST_OF_OPERATORS = "Administration"
OPERATORS = {
    "Administration": "ADMIN_GUIDE",
    "Troubleshooting": "TROUBLESHOOTING",
    "Security": "SECURITY",
    "Error codes": "ERROR_CODES",
}
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
PART = re.compile(
    r"""^(?:!\[(?P<words>[^\]]*)\]\((?P<file>[\w./-]+)\)
    |\#+\ <a\ id="(?P<anchor>[\w-]+)"></a>(?P<title>.+))$""",
    re.MULTILINE | re.VERBOSE,
)
"""What Streamlit's Markdown has no words for: pictures of ours, and headings with a name."""
CHAPTER = re.compile(r"^## (?:<a id=\"(?P<anchor>[\w-]+)\"></a>)?(?P<title>.+)$", re.MULTILINE)
FEW = 4
LINK = re.compile(r"\[([^\]]+)\]\(([\w./-]*)(#[\w-]+)?\)")


def page() -> None:
    """One guide at a time; `?of=` in the address names it."""
    folder = session.portal().settings.guides_dir
    guides = EVERYBODYS if session.user().role is Role.USER else {**EVERYBODYS, **OPERATORS}
    there = {title: name for title, name in guides.items() if (folder / f"{name}.md").is_file()}
    if not there:
        st.subheader("Guide")
        contact = session.portal().settings.help_contact
        st.info(f"The guides are not installed. Ask {contact}.", icon=":material/menu_book:")
        return
    _show(folder, there[_chosen(there)], set(there.values()))


def _chosen(there: dict[str, str]) -> str:
    titles = {name: title for title, name in there.items()}
    usual = FIRST_OF_OPERATORS if FIRST_OF_OPERATORS in there else next(iter(there))
    asked = titles.get(st.query_params.get("of", ""), usual)
    if len(there) == 1:
        return asked
    chosen = st.segmented_control("Guide", list(there), default=asked, required=True, key="guide")
    if chosen and chosen != asked:
        st.query_params["of"] = there[chosen]
    return chosen or asked


def _show(folder: Path, name: str, there: set[str]) -> None:
    text = COMMENT.sub("", (folder / f"{name}.md").read_text(encoding="utf-8"))
    end = 0
    _contents(text)
    with st.container(key="prose"):
        for part in PART.finditer(text):
            st.markdown(_linked(text[end : part.start()], there))
            end = part.end()
            if part["anchor"]:
                st.subheader(part["title"], anchor=part["anchor"])
            else:
                _picture(folder, part["file"], part["words"])
        st.markdown(_linked(text[end:], there))


def _contents(text: str) -> None:
    """The chapters of a long guide, as links."""
    chapters = list(CHAPTER.finditer(text))
    if len(chapters) < FEW:
        return
    with st.expander("Contents", icon=":material/toc:", key="contents"):
        st.markdown(
            "\n".join(
                f"- [{each['title']}](#{each['anchor'] or _anchor(each['title'])})"
                for each in chapters
            )
        )


def _anchor(title: str) -> str:
    """As Streamlit names a heading."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _picture(folder: Path, file: str, words: str) -> None:
    """Streamlit's own pictures carry no words for those who do not see them."""
    path = (folder / file).resolve()
    if path.is_relative_to(folder.resolve()) and path.is_file():
        content = base64.b64encode(path.read_bytes()).decode()
        st.html(f'<img src="data:image/png;base64,{content}" alt="{escape(words)}">')


def _linked(text: str, there: set[str]) -> str:
    """With links to the guides here; of other files the name stays."""

    def link(found: re.Match[str]) -> str:
        words, file, section = found[1], found[2], found[3] or ""
        if not file:
            return found[0]
        name = file.removesuffix(".md")
        return f"[{words}](/guide?of={name}{section})" if name in there else words

    return LINK.sub(link, text)


page()

"""What frames every page: its style, its dialogs, and changes that may be refused."""

from __future__ import annotations

import html
from collections.abc import Callable

import streamlit as st
from portal.core.errors import PortalError

from app_pages.parts import errors, session

# The bar takes the place of Streamlit's own header, from edge to edge; it and the page's content
# share one edge.
STYLE = """<style>
:root { --portal-edge: max(1rem, calc((100vw - 84rem) / 2)); }
[data-testid="stHeader"] { display: none; }
[data-testid="stMainBlockContainer"] { padding: 0 var(--portal-edge) 3rem; max-width: none; }
.st-key-bar { position: sticky; top: 0; z-index: 1000; margin: 0 calc(-1 * var(--portal-edge));
  width: calc(100% + 2 * var(--portal-edge)) !important; max-width: none !important;
  padding: 0 var(--portal-edge); background: light-dark(#ffffff, #11161d);
  border-bottom: 1px solid color-mix(in srgb, currentColor 16%, transparent); }
/* The order stays in sight beside a long list of images. */
.st-key-order { position: sticky; top: 4rem; }
/* Text to be read, not a table to be scanned. */
.st-key-prose { max-width: 52rem; }
.st-key-prose img { max-width: 100%; border-radius: 0.5rem;
  border: 1px solid color-mix(in srgb, currentColor 16%, transparent); }
/* Nothing scrolls sideways: a keyboard would not get there. */
.st-key-prose :is(pre, code, td, th) { white-space: pre-wrap !important; overflow-wrap: anywhere; }
.st-key-prose :is(td, th) { white-space: normal !important; }
/* Highlighted words would be below 4.5:1 here and there. */
.st-key-prose .token { color: inherit !important; }
.st-key-prose table { width: 100%; }
/* A digest is shown whole. */
.st-key-audit-whole :is(td, td *) { white-space: normal !important;
  overflow-wrap: anywhere !important; }
.st-key-prose h1 { font-size: 1.9rem; }
.st-key-prose h2 { font-size: 1.4rem; }
.st-key-prose h3 { font-size: 1.15rem; }
.st-key-danger button[kind="primary"]:enabled { background: #b3261e; border-color: #b3261e; }
/* Moves while the server works longer than 300 ms. */
.stApp::before { content: ""; position: fixed; inset: 0 0 auto; height: 3px; z-index: 1001;
  background: linear-gradient(90deg, transparent, #2374c6, transparent); opacity: 0; }
.stApp[data-test-script-state="running"]::before { opacity: 1; transition: opacity 0s 0.3s;
  animation: portal-works 1.2s linear infinite; }
@keyframes portal-works { from { translate: -60% } to { translate: 60% } }
@media (prefers-reduced-motion: reduce) { .stApp::before { animation: none !important; } }
/* The accent as text on the dark background would be below 4.5:1; its border shows the choice. */
[data-variant="segmented_control"][data-selected="true"] { color: inherit !important; }
</style>"""


CLASSIFIED = """<style>
:root { --portal-mark: 1.5rem; }
.stApp { inset: var(--portal-mark) 0 !important; }
.stElementContainer:has(.portal-classification) { position: absolute; }
.portal-classification { position: fixed; left: 0; right: 0; height: var(--portal-mark);
  z-index: 1000000; background: COLOUR; color: INK; text-align: center; font-weight: 700;
  font-size: 0.875rem; line-height: var(--portal-mark); letter-spacing: 0.04em;
  overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
</style>
<div class="portal-classification" style="top: 0" role="note">WORDS</div>
<div class="portal-classification" style="bottom: 0" aria-hidden="true">WORDS</div>"""
"""Above and below everything, dialogs too."""


def style() -> None:
    """What the theme has no setting for."""
    st.html(STYLE)


def classification() -> None:
    """Above and below the page, where one is set."""
    settings = session.portal().settings
    if settings.classification:
        marks = CLASSIFIED.replace("WORDS", html.escape(settings.classification))
        marks = marks.replace("COLOUR", settings.classification_colour)
        st.html(marks.replace("INK", settings.classification_ink))


def carry_out(change: Callable[[], object], done: str = "Saved.") -> None:
    """Do what was asked and show the page anew, or say why not."""
    with errors.shown():
        change()
        _tell(done)
        st.rerun()


def _tell(done: str) -> None:
    """That it was done; what the bar and others remember for some seconds counts no more."""
    st.cache_data.clear()
    st.toast(done, icon=":material/check:")


def ask(title: str, body: Callable[[], None]) -> None:
    """Open a dialog whose title names the act, and what of."""
    st.dialog(title)(errors.told(body))()


def confirmed(label: str, key: str, *, loses: bool, disabled: bool = False) -> bool:
    """A dialog's buttons: one that names the act, red where something is lost, and Cancel."""
    with st.container(horizontal=True, key="danger" if loses else None):
        yes = st.button(label, type="primary", key=key, disabled=disabled)
        if st.button("Cancel", key=f"{key}-cancel"):
            st.rerun()
    return yes


def try_to(change: Callable[..., object], *arguments: object, done: str = "Saved.") -> None:
    """Run a button's callback; show_problem() shows in the next run what went wrong.

    `change` takes the portal, the person as they are now, and the arguments.
    """
    try:
        change(session.portal(), session.user(), *arguments)
        _tell(done)
    except PortalError as error:
        st.session_state["problem"] = error
    except Exception as error:  # as in errors.shown(): Streamlit would show its own
        st.session_state["problem"] = errors.of_fault(error)


def show_problem() -> None:
    """What a callback could not do, once."""
    problem = st.session_state.pop("problem", None)
    if problem is not None:
        errors.show(problem)

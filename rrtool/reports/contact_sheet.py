"""An HTML page of images to label: look, type or click, save ``labels.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from rrtool.errors import printable
from rrtool.reports.document import document, image_tag
from rrtool.reports.document import text_of as text

GENERATOR = "rrtool al-cycle"

_STYLE = """
.bar { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .5rem 1rem;
  align-items: center; padding: .7rem 0; margin-bottom: 1rem; background: var(--ground);
  border-bottom: 1px solid var(--line); }
button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 4px; padding: .15rem .6rem; cursor: pointer; }
.bar button { background: var(--accent); color: var(--ground); border-color: var(--accent); }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); }
li { background: var(--card); border: 2px solid var(--line); border-radius: 6px; padding: .5rem; }
li.done { border-color: var(--accent); }
img, .missing { display: block; width: 100%; height: 170px; object-fit: contain; }
.name { white-space: normal; overflow-wrap: anywhere; font-size: .8rem; margin: .35rem 0; }
.suggested { font-size: .85rem; min-height: 1.9rem; }
input { width: 100%; font: inherit; padding: .25rem .4rem; margin-top: .3rem; color: inherit;
  background: var(--ground); border: 1px solid var(--line); border-radius: 4px; }
"""

# Labels typed so far are kept by the browser, under the state's uuid, until the file is saved.
_SCRIPT = """
const inputs = [...document.querySelectorAll('li input')], key = document.body.dataset.state;
const store = (() => { try { return window.localStorage; } catch { return null; } })();
const kept = JSON.parse((store && store.getItem(key)) || '{}');
function changed() {
  const labels = {};
  for (const input of inputs) {
    const label = input.value.trim();
    input.closest('li').classList.toggle('done', label !== '');
    if (label) labels[input.dataset.id] = label;
  }
  document.getElementById('count').textContent = Object.keys(labels).length;
  if (store) store.setItem(key, JSON.stringify(labels));
}
const quoted = (value) => '"' + value.replaceAll('"', '""') + '"';
function save() {
  const lines = ['id,name,label'];
  for (const input of inputs)
    if (input.value.trim())
      lines.push([input.dataset.id, input.dataset.name, input.value.trim()].map(quoted).join(','));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([lines.join('\\n') + '\\n'], { type: 'text/csv' }));
  link.download = 'labels.csv';
  link.click();
}
inputs.forEach((input, i) => {
  input.value = kept[input.dataset.id] || '';
  input.addEventListener('input', changed);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && inputs[i + 1]) inputs[i + 1].focus();
  });
});
for (const button of document.querySelectorAll('.suggested button'))
  button.addEventListener('click', () => {
    button.closest('li').querySelector('input').value = button.value;
    changed();
  });
document.getElementById('save').addEventListener('click', save);
changed();
"""


@dataclass(frozen=True)
class Card:
    """One image to label.

    Attributes:
        row: its id.
        name: of the image.
        picture: thumbnail; None where it cannot be shown.
        suggested: the class that the model predicts; empty without a model.
        confidence: its probability.
    """

    row: int
    name: str
    picture: Image.Image | None
    suggested: str = ""
    confidence: float = 0.0


def render_sheet(
    title: str, uuid: str, class_names: Sequence[str], cards: Sequence[Card], how: str
) -> Iterator[str]:
    """The HTML, piece by piece.

    Args:
        uuid: of the state that asks.
        class_names: offered while typing; others may be typed.
        how: what to do with the labels, in one sentence.
    """
    header = f"<p>{text(how)}</p>\n"
    body = _body(uuid, class_names, cards)
    return document(title, header, body, style=_STYLE, generator=GENERATOR)


def _body(uuid: str, class_names: Sequence[str], cards: Sequence[Card]) -> Iterator[str]:
    yield (
        f'<div class="bar"><span><b id="count">0</b> of {len(cards)} labelled</span>'
        '<button id="save" type="button">Save labels.csv</button></div>\n'
    )
    options = "".join(f'<option value="{text(name)}"></option>' for name in class_names)
    yield f'<datalist id="classes">{options}</datalist>\n<ol>\n'
    for card in cards:
        yield _card(card)
    yield f"</ol>\n<script>document.body.dataset.state = '{text(uuid)}';{_SCRIPT}</script>\n"


def _card(card: Card) -> str:
    shown = image_tag(card.picture, card.name)
    suggested = ""
    if card.suggested:
        suggested = (
            f'<button type="button" value="{text(card.suggested)}">{text(card.suggested)}</button>'
            f" {100 * card.confidence:.0f} %"
        )
    # A name that cannot be printed would come back as another one: its id alone is enough.
    name = card.name if printable(card.name) == card.name else ""
    return (
        f'<li>{shown}<div class="name">{card.row}: {text(card.name)}</div>'
        f'<div class="suggested">{suggested}</div>'
        f'<input list="classes" data-id="{card.row}" data-name="{text(name)}" '
        f'aria-label="label of {text(card.name)}"></li>\n'
    )

'use strict';
// The contact sheet. What is labelled is kept by the browser, under the uuid of the state that asks,
// so that a page that is closed and opened again goes on where it was.
const $ = (id) => document.getElementById(id);
const cards = [...document.querySelectorAll('li.card')];
const { state, file, classes: known } = document.querySelector('main').dataset;
const UNKNOWN = null; // "skipped": the one who labels cannot tell
// [name, as it is shown] of each class: one that cannot be printed is shown with its codes.
const classes = JSON.parse(known).map(([name, shown]) => ({ name, shown }));
const givenClasses = classes.length;
const labels = new Map(); // by id; a name, or UNKNOWN
let current = cards[0];
let past = []; // of undo: [card, entries [id, label] as they were, how many classes there were]
let isSaved = true;

// ---- names of classes

const plain = (text) => text.normalize('NFC').trim().replace(/\s+/g, ' ');
const folded = (text) => plain(text).toLowerCase().replace(/[\s_-]+/g, '');
const letters = (text) => [...folded(text)];
const find = (name) => classes.find((one) => one.name.normalize('NFC') === name.normalize('NFC'));
const shown = (label) => (find(label) ?? { shown: label }).shown;

// Edit distance in which two neighbours that changed places are one slip.
function slips(first, second) {
  const a = letters(first), b = letters(second);
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    rows[i] = [i];
    for (let j = 1; j <= b.length; j++) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1;
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + differs);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.length][b.length];
}

// Short words of one letter's difference are other words: jug and mug.
const allowed = (text) => (letters(text).length < 4 ? 0 : letters(text).length < 7 ? 1 : 2);

// The classes that a text may mean, the likeliest first: what begins so, then slips of the pen.
function meant(text) {
  const start = folded(text);
  const begin = classes.filter((one) => folded(one.name).startsWith(start));
  begin.sort((a, b) => letters(a.name).length - letters(b.name).length);
  const near = classes
    .filter((one) => !begin.includes(one))
    .map((one) => [slips(text, one.name), one])
    .filter(([n]) => n <= allowed(text))
    .sort((a, b) => a[0] - b[0]);
  return [...begin, ...near.map(([, one]) => one)].slice(0, 6);
}

// Keys of the classes: a class that is called by a digit has that one.
function keysOf() {
  const keys = new Map(), free = [...'1234567890'];
  const take = (key, one) => {
    keys.set(key, one);
    free.splice(free.indexOf(key), 1);
  };
  for (const one of classes) if (free.includes(one.name)) take(one.name, one);
  for (const one of classes) if (free.length && ![...keys.values()].includes(one)) take(free[0], one);
  return keys;
}

// ---- what is done

const idOf = (card) => card.dataset.id;
const isOpen = (card) => !labels.has(idOf(card));
const suggested = (card) => classes[card.dataset.suggested]?.name;
const group = () => [...current.closest('section').querySelectorAll('li.card')];

function say(text, isWrong = false) {
  $('told').textContent = text;
  $('told').classList.toggle('wrong', isWrong);
}

// Label some images, as one step that undo takes back; then go on to the next that is open.
function give(chosen, labelOf, told) {
  past.push([current, chosen.map((card) => [idOf(card), labels.get(idOf(card))]), classes.length]);
  for (const card of chosen) {
    const label = labelOf(card);
    if (label !== UNKNOWN && !find(label)) classes.push({ name: label, shown: label });
    labels.set(idOf(card), label);
  }
  isSaved = false;
  const start = cards.indexOf(chosen.at(-1)) + 1;
  const next = [...cards.slice(start), ...cards.slice(0, start)].find(isOpen);
  say(next ? told : `${told} All images are done: save the labels.`);
  changed();
  go(next ?? current);
}

const label = (name) => give([current], () => name, `${current.dataset.shown}: ${shown(name)}.`);
const skip = () => give([current], () => UNKNOWN, `${current.dataset.shown}: skipped.`);

function accept() {
  if (suggested(current) !== undefined) label(suggested(current));
  else say('Nothing is suggested for this image: choose a class.', true);
}

function acceptGroup(cardsOfGroup) {
  const open = cardsOfGroup.filter((card) => isOpen(card) && suggested(card) !== undefined);
  if (!open.length) return say('Nothing is left to confirm in this group.', true);
  const images = open.length === 1 ? '1 image' : `${open.length} images`;
  give(open, suggested, `${images}: ${shown(suggested(open[0]))}.`);
}

function undo() {
  const last = past.pop();
  if (!last) return say('There is nothing to undo.', true);
  const [card, before, nClasses] = last;
  for (const [id, label] of before)
    if (label === undefined) labels.delete(id);
    else labels.set(id, label);
  classes.length = nClasses;
  isSaved = false;
  say('The last step is undone.');
  changed();
  go(card);
}

function go(card) {
  current?.classList.remove('current');
  current?.removeAttribute('aria-current');
  current = card;
  card.classList.add('current');
  card.setAttribute('aria-current', 'true');
  $('which').textContent = card.dataset.shown;
  for (const one of cards) one.tabIndex = one === card ? 0 : -1;
  card.focus({ preventScroll: true });
  const bar = document.querySelector('.bar').getBoundingClientRect();
  document.body.style.setProperty('--bar', `${bar.height}px`);
  const box = card.getBoundingClientRect();
  if (box.top < bar.bottom || box.bottom > innerHeight)
    scrollBy(0, box.top - bar.bottom - 60); // what is above it shows, too: its heading
}

function step(by) {
  const next = cards[cards.indexOf(current) + by];
  if (next) go(next);
}

// Up or down: to the card that stands above or below it.
function stepRow(by) {
  const place = (card) => card.getBoundingClientRect();
  const { left, top } = place(current);
  const beyond = cards.filter((card) => by * (place(card).top - top) > 4);
  const row = beyond.filter((card) => Math.abs(place(card).top - place(by > 0 ? beyond[0] : beyond.at(-1)).top) < 4);
  row.sort((a, b) => Math.abs(place(a).left - left) - Math.abs(place(b).left - left));
  if (row.length) go(row[0]);
}

function zoom(on = !document.body.classList.contains('zoomed')) {
  document.body.classList.toggle('zoomed', on);
  $('zoom').setAttribute('aria-pressed', on);
  go(current);
}

// ---- what is shown

function changed() {
  for (const card of cards) {
    const label = labels.get(idOf(card)), given = card.querySelector('.given');
    card.classList.toggle('done', label !== undefined && label !== UNKNOWN);
    card.classList.toggle('skipped', label === UNKNOWN);
    card.classList.toggle('other', label != null && suggested(card) !== undefined && label !== suggested(card));
    given.textContent = label === undefined ? '' : label === UNKNOWN ? '– skipped' : `✓ ${shown(label)}`;
  }
  for (const section of document.querySelectorAll('section')) {
    const open = [...section.querySelectorAll('li.card')].filter(isOpen).length;
    const button = section.querySelector('.all');
    if (button) {
      button.disabled = !open;
      button.querySelector('b').textContent = open;
    }
  }
  const n = [...labels.values()].filter((label) => label !== UNKNOWN).length;
  $('count').textContent = n;
  $('skips').textContent = labels.size - n ? `, ${labels.size - n} skipped` : '';
  $('progress').value = labels.size;
  $('undo').disabled = !past.length;
  showClasses();
  keep();
}

function showClasses() {
  const keys = new Map([...keysOf()].map(([key, one]) => [one, key]));
  $('classes').replaceChildren(...classes.map((one) => {
    const button = made('button', one.shown, () => label(one.name));
    if (keys.has(one)) button.prepend(made('kbd', keys.get(one)));
    return button;
  }));
}

function made(tag, text, act) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (act) {
    element.type = 'button';
    element.addEventListener('click', act);
  }
  return element;
}

// ---- typing

const input = $('typed');
let choices = []; // [text of its button, name], of which the arrows choose one
let chosen = 0;

function typed() {
  const text = plain(input.value);
  const exact = text && find(text), found = text && !exact ? meant(text) : [];
  choices = exact ? [[exact.shown, exact.name]] : found.map((one) => [one.shown, one.name]);
  if (text && !exact) choices.push([`new class “${text}”`, text]);
  chosen = 0;
  const isSlip = found.length > 0 && !folded(found[0].name).startsWith(folded(text));
  say(isSlip ? `“${text}” is no class yet. Did you mean ${found[0].shown}?` : '', isSlip);
  showChoices();
}

function showChoices() {
  $('choices').replaceChildren(...choices.map(([text, name], i) => {
    const button = made('button', text, () => take(name));
    button.setAttribute('role', 'option');
    button.setAttribute('aria-selected', i === chosen);
    button.id = `choice${i}`;
    button.tabIndex = -1;
    return button;
  }));
  if (choices.length) input.setAttribute('aria-activedescendant', `choice${chosen}`);
  else input.removeAttribute('aria-activedescendant');
  input.setAttribute('aria-expanded', choices.length > 0);
}

function take(name) {
  leaveInput();
  label(name);
}

function leaveInput() {
  input.value = '';
  choices = [];
  showChoices();
  current.focus({ preventScroll: true });
}

function keyInInput(event) {
  if (event.isComposing) return;
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by && choices.length) {
    chosen = (chosen + by + choices.length) % choices.length;
    showChoices();
  } else if (event.key === 'Enter' && choices.length) take(choices[chosen][1]);
  else if (event.key === 'Escape') {
    leaveInput();
    say('');
  } else return;
  event.preventDefault();
}

// ---- keys

const KEYS = {
  Enter: accept,
  ' ': () => zoom(),
  Escape: () => zoom(false),
  '-': skip,
  '+': () => input.focus(),
  Backspace: undo,
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowUp: () => stepRow(-1),
  ArrowDown: () => stepRow(1),
};

function key(event) {
  const { target } = event, command = event.ctrlKey || event.metaKey;
  if (command && event.key === 's') save();
  else if (command && event.key === 'z' && target !== input) undo();
  else if (command || event.altKey || target === input) return;
  else if (event.key === 'Enter' && event.shiftKey) acceptGroup(group());
  else if (target.closest('button, summary') && ['Enter', ' '].includes(event.key)) return;
  else if (keysOf().has(event.key)) label(keysOf().get(event.key).name);
  else if (event.key in KEYS) KEYS[event.key]();
  else {
    // Any other letter begins to spell a class; the browser puts it into the field.
    if ([...event.key].length === 1) input.focus();
    return;
  }
  event.preventDefault();
}

// ---- what is kept

const store = (() => { try { return window.localStorage; } catch { return null; } })();

function keep() {
  const added = classes.slice(givenClasses).map((one) => one.name);
  try {
    store.setItem(`rrtool ${state}`, JSON.stringify({ labels: [...labels], added }));
    $('unkept').hidden = true;
  } catch {
    $('unkept').hidden = false;
  }
}

function restore() {
  try {
    const kept = JSON.parse(store.getItem(`rrtool ${state}`));
    const ids = new Set(cards.map(idOf));
    for (const name of kept.added) if (!find(name)) classes.push({ name, shown: name });
    for (const [id, label] of kept.labels)
      if (ids.has(id) && (label === UNKNOWN || find(label))) labels.set(id, label);
  } catch {
    // Nothing is kept, or nothing of ours: the page begins from nothing.
  }
  isSaved = !labels.size;
}

// As rrtool.tables.table_lines: what a spreadsheet would run gets an apostrophe before it.
const quoted = (value) =>
  '"' + value.replace(/^(?='*[=+\-@\t\r])/, "'").replaceAll('"', '""') + '"';

function save() {
  const labelled = cards.filter((card) => labels.get(idOf(card)) != null);
  if (!labelled.length) return say('There is no label to save yet.', true);
  const rows = labelled.map((card) => [idOf(card), card.dataset.name, labels.get(idOf(card))]);
  const lines = ['id,name,label', ...rows.map((row) => row.map(quoted).join(','))];
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([lines.join('\n') + '\n'], { type: 'text/csv' }));
  link.download = file;
  link.click();
  isSaved = true;
  current.focus({ preventScroll: true }); // or the next Enter would press the button again
  say(`${rows.length === 1 ? '1 label is' : `${rows.length} labels are`} saved in ${file}.`);
}

// ---- mouse

for (const card of cards) {
  card.addEventListener('click', (event) => {
    if (event.target.closest('button')) return;
    const again = card === current && event.target.closest('.shown');
    go(card);
    if (again) zoom();
  });
  card.querySelector('.suggestion')?.addEventListener('click', () => {
    go(card);
    accept();
  });
}
for (const button of document.querySelectorAll('.all'))
  button.addEventListener('click', () => acceptGroup([...button.closest('section').querySelectorAll('li.card')]));
$('undo').addEventListener('click', undo);
$('skip').addEventListener('click', skip);
$('zoom').addEventListener('click', () => zoom());
$('back').addEventListener('click', () => step(-1));
$('on').addEventListener('click', () => step(1));
$('save').addEventListener('click', save);
input.addEventListener('input', typed);
input.addEventListener('keydown', keyInInput);
document.addEventListener('keydown', key);
window.addEventListener('beforeunload', (event) => {
  if (!isSaved && !$('unkept').hidden) event.preventDefault();
});
restore();
changed();
go(cards.find(isOpen) ?? current);

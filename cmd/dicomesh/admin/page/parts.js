// Small things that the page is put together from.

// h makes an element. Text stays text: nothing is ever parsed as markup.
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// s makes an element of a drawing.
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false && c !== ''));
  return element;
}

export const get = (id) => document.getElementById(id);

// put shows children in an element. What is there already stays, and so does whatever has the keyboard's focus, by its data-key.
export function put(element, ...children) {
  const fresh = children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false && c !== '').map((c) => (c instanceof Node ? c : document.createTextNode(c)));
  const old = [...element.childNodes];
  if (old.length === fresh.length && old.every((c, i) => c.isEqualNode(fresh[i]))) return;
  const held = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...fresh);
  if (held) [...element.querySelectorAll('[data-key]')].find((e) => e.dataset.key === held)?.focus();
}

// say changes a text only if it is another one, so that screen readers say it once.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
export const count = (n) => grouped.format(n);
export const some = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`;

// plain is a reason as people write it.
export const plain = (reason) => (reason ?? '').replaceAll(' <-> ', '\u00a0↔\u00a0');

// among is a few names in a sentence.
export function among(names, word = 'and') {
  if (names.length > 4) return `${names.slice(0, 3).join(', ')} ${word} ${names.length - 3} more`;
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`;
}

// bytes is a size, in the units of disks: powers of 1000.
export function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let i = 0;
  for (; n >= 999.5 && i < units.length - 1; i++) n /= 1000;
  return `${n < 9.95 && i > 0 ? n.toFixed(1) : Math.round(n)}\u202f${units[i]}`;
}

// lasting is a length of time, in its two largest units at most.
export function lasting(seconds) {
  const n = Math.max(0, Math.floor(seconds));
  if (n < 60) return `${n}\u202fs`;
  if (n < 3600) return `${Math.floor(n / 60)}\u202fmin`;
  if (n < 86400) return `${Math.floor(n / 3600)}\u202fh ${Math.floor((n % 3600) / 60)}\u202fmin`;
  return `${some(Math.floor(n / 86400), 'day')} ${Math.floor((n % 86400) / 3600)}\u202fh`;
}

// clock is a time of today, or a day and a time.
export function clock(at) {
  const two = (n) => String(n).padStart(2, '0');
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

// curve draws values, oldest first, with the time from left to right. It is an ornament of the number beside it.
export function curve(values, slots) {
  const wide = 200, high = 36, top = Math.max(...values, 1e-9);
  const x = (i) => wide - ((values.length - 1 - i) * wide) / (slots - 1);
  const points = values.map((v, i) => `${x(i).toFixed(1)},${(high - 1 - (v / top) * (high - 3)).toFixed(1)}`);
  const drawn = [s('path', { class: 'base', d: `M0 ${high - 0.5}H${wide}` })];
  if (points.length > 1) {
    drawn.push(s('path', { class: 'area', d: `M${x(0).toFixed(1)},${high}L${points.join('L')}L${wide},${high}Z` }), s('polyline', { points: points.join(' ') }));
  }
  return s('svg', { class: 'curve', viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, drawn);
}

// glyphs stand beside each word for a state, so that colour is never the only sign.
export const glyphs = { settled: '●', published: '◐', syncing: '↻', held: '❚❚', incomplete: '◌', conflict: '⚡' };

export const tone = { held: 'warn', incomplete: 'warn', conflict: 'bad' };

// stated is a state of a study: glyph and word.
export function stated(state) {
  return h('span', { class: `state ${tone[state] ?? ''}` }, h('i', { 'aria-hidden': 'true' }, glyphs[state] ?? '·'), ' ', state);
}

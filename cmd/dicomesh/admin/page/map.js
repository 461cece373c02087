// Sites and links as a drawing. Each direction of a link is an arrow of its own: a full line carries, a broken one with a cross does not, a dotted one with a
// question mark is not known. Where there are many sites, a link that carries both ways is one line, and in a crowd every link whose directions are alike. The table of sites says
// the same in words.

import { s, get, bytes } from './parts.js';
import { quick } from './sites.js';

// measures of the drawing: on a small screen it is narrow, so that letters stay as large; for many sites it is higher, and they are smaller. A crowd stands in two bows, each
// name in a line of its own beside its site.
function measures(n) {
  const wide = Math.min(560, Math.max(360, get('map').clientWidth));
  if (n > 8) return { wide, high: Math.max(520, Math.ceil(n / 2) * 28 + 30), radius: 12, many: true, crowd: true, letters: wide > 480 ? 19 : 12 };
  return { wide, high: n < 5 ? 350 : n < 8 ? 430 : 520, radius: n < 5 ? 30 : n < 8 ? 23 : 17, many: n > 4, letters: 20 };
}

// bows are the places of a crowd: down on the left and up on the right, this site in the middle of the left.
function bows(sites, { wide, high, radius, letters }) {
  const spots = new Map(), half = Math.ceil(sites.length / 2), broad = wide / 2 - letters * 8.8 - radius - 8;
  sites.forEach((site, i) => {
    const at = (i + Math.floor(half / 2)) % sites.length, left = at < half;
    const row = left ? at : sites.length - 1 - at, height = (2 * row + 1) / half - 1; // from -1 to 1
    spots.set(site.name, { x: wide / 2 + (left ? -1 : 1) * broad * Math.sqrt(1 - 0.7 * height * height), y: high / 2 + height * (high / 2 - 15), side: left ? 'left' : 'right' });
  });
  return spots;
}

// places are where sites stand: on an ellipse, this site on the left.
function places(sites, { wide, high }) {
  const spots = new Map();
  const self = sites.findIndex((x) => x.self);
  sites.forEach((site, i) => {
    const turn = Math.PI + ((i - Math.max(self, 0)) * 2 * Math.PI) / sites.length;
    const spread = sites.length === 1 ? 0 : 1;
    spots.set(site.name, { x: wide / 2 + spread * (wide / 2 - 75) * Math.cos(turn), y: high / 2 + spread * (high / 2 - 80) * Math.sin(turn) });
  });
  return spots;
}

// arrow is one direction of a link, beside the other one.
function arrow(from, to, state, label, radius) {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const along = { x: (to.x - from.x) / length, y: (to.y - from.y) / length };
  const aside = { x: -along.y * 7, y: along.x * 7 };
  const at = (distance) => ({ x: from.x + along.x * distance + aside.x, y: from.y + along.y * distance + aside.y });
  const a = at(radius + 8), b = at(length - radius - 10), middle = at(length * 0.4); // those of both directions are apart
  const turn = (Math.atan2(along.y, along.x) * 180) / Math.PI;
  return s('g', { class: `way ${state}` },
    s('title', {}, label),
    s('path', { class: 'line', d: `M${a.x} ${a.y}L${b.x} ${b.y}` }),
    s('path', { class: 'head', d: 'M-9 -5L0 0L-9 5', transform: `translate(${b.x} ${b.y}) rotate(${turn})` }),
    state === 'down' && s('path', { class: 'cross', d: 'M-7 -7L7 7M-7 7L7 -7', transform: `translate(${middle.x} ${middle.y})` }),
    state === 'unknown' && s('text', { class: 'ask', x: middle.x, y: middle.y + 5 }, '?'));
}

// line is a link whose directions are alike, in a drawing of many.
function line(from, to, state, label) {
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
  return s('g', { class: `way ${state} both` }, s('title', {}, label), s('path', { class: 'line', d: `M${from.x} ${from.y}L${to.x} ${to.y}` }),
    state === 'down' && s('path', { class: 'cross', d: 'M-5 -5L5 5M-5 5L5 -5', transform: `translate(${middle.x} ${middle.y})` }));
}

// note is what is known of a link of this site, above its middle.
function note(from, to, link) {
  if (link.rtt === undefined || link.ab !== 'up' || link.ba !== 'up') return null;
  const words = [quick(link.rtt)];
  if (link.loss >= 0.001) words.push(`${(link.loss * 100).toFixed(1)}\u202f% lost`);
  if (link.rate > 1000) words.push(`${bytes(link.rate)}/s`);
  let turn = (Math.atan2(to.y - from.y, to.x - from.x) * 180) / Math.PI;
  if (turn > 90 || turn <= -90) turn += 180; // never upside down
  return s('text', { class: 'note', y: -15, transform: `translate(${(from.x + to.x) / 2} ${(from.y + to.y) / 2}) rotate(${turn})` }, words.join(' · '));
}

// short is a text of at most so many letters: its beginning and its end, which is where names that are alike differ.
const short = (text, most) => (text.length > most ? `${text.slice(0, Math.ceil((most - 1) / 2))}…${text.slice(-Math.floor((most - 1) / 2))}` : text);

const sign = (state) => ({ self: '✓', up: '✓', down: '✕' }[state] ?? '?');

// beside is a site in a crowd.
function beside(site, spot, { radius, letters }) {
  const state = site.self ? 'self' : site.up;
  return s('g', { class: `node ${state} ${site.role} ${spot.side}`, transform: `translate(${spot.x} ${spot.y})` },
    s('title', {}, `${site.name}: ${site.role}, ${site.self ? 'this site' : site.words}`),
    s('circle', { class: 'disc', r: radius }), site.role === 'standby' && s('circle', { class: 'inner', r: radius - 4 }), s('text', { class: 'sign', y: 5 }, sign(state)),
    s('text', { class: 'name', x: (spot.side === 'left' ? -1 : 1) * (radius + 6), y: 5 }, short(site.name, letters)));
}

function node(site, spot, { wide, high, radius, many, letters }) {
  const state = site.self ? 'self' : site.up, above = spot.y < high / 2 - 20; // no link runs through its name
  const name = short(site.name, letters), under = many && state === 'up' ? '' : short(site.self ? `${site.role}, this site` : `${site.role}, ${site.words}`, 34);
  const inside = (text, letter) => { const half = (text.length * letter) / 2; return Math.max(0, half + 4 - spot.x) || Math.min(0, wide - 4 - half - spot.x); };
  return s('g', { class: `node ${state} ${site.role}`, transform: `translate(${spot.x} ${spot.y})` },
    s('circle', { class: 'disc', r: radius }),
    site.role === 'standby' && s('circle', { class: 'inner', r: radius - 5 }),
    s('text', { class: 'sign', y: 7 }, sign(state)),
    s('text', { class: 'name', x: inside(name, 10.8), y: above ? -radius - (under ? 25 : 9) : radius + 20 }, name),
    under && s('text', { class: 'under', x: inside(under, 6.8), y: above ? -radius - 9 : radius + 36 }, under));
}

// drawing is the map; sites and links are as in sites.js.
export function drawing(sites, links) {
  const size = measures(sites.length), spots = size.crowd ? bows(sites, size) : places(sites, size);
  const words = links.map((l) => `${l.a} to ${l.b}: ${l.ab}; ${l.b} to ${l.a}: ${l.ba}`);
  return s('svg', { viewBox: `0 0 ${size.wide} ${size.high}`, role: 'img', 'aria-label': words.length ? `Links. ${words.join('. ')}.` : 'This site is alone: there are no links.' },
    links.filter((l) => spots.has(l.a) && spots.has(l.b)).map((l) => {
      const a = spots.get(l.a), b = spots.get(l.b), there = `${l.a} → ${l.b}: ${l.ab}`, back = `${l.b} → ${l.a}: ${l.ba}`;
      if (l.ab === l.ba && (size.crowd || (size.many && l.ab === 'up'))) return line(a, b, l.ab, `${there}; ${back}`);
      return [arrow(a, b, l.ab, there, size.radius), arrow(b, a, l.ba, back, size.radius), !size.many && note(a, b, l)];
    }),
    sites.map((site) => (size.crowd ? beside : node)(site, spots.get(site.name), size)));
}

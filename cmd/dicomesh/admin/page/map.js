// Sites and links as a drawing. Each direction of a link is an arrow of its own: a full line carries, a broken one with a cross does not, a dotted one with a
// question mark is not known. Where there are many sites, a link that carries both ways is one line. The table of sites says the same in words.

import { s, get, bytes } from './parts.js';
import { quick } from './sites.js';

// measures of the drawing: on a small screen it is narrow, so that letters stay as large; for many sites it is higher, and they are smaller.
function measures(n) {
  const wide = Math.min(560, Math.max(360, get('map').clientWidth));
  return { wide, high: n < 5 ? 350 : n < 8 ? 430 : 520, radius: n < 5 ? 30 : n < 8 ? 23 : 17, many: n > 4 };
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

// line is a link that carries both ways, in a drawing of many.
function line(from, to, label) {
  return s('g', { class: 'way up both' }, s('title', {}, label), s('path', { class: 'line', d: `M${from.x} ${from.y}L${to.x} ${to.y}` }));
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

function node(site, spot, { wide, high, radius, many }) {
  const state = site.self ? 'self' : site.up, above = spot.y < high / 2 - 20; // no link runs through its name
  const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const name = short(site.name, 20), under = many && state === 'up' ? '' : short(site.self ? `${site.role}, this site` : `${site.role}, ${site.words}`, 34);
  const inside = (text, letter) => { const half = (text.length * letter) / 2; return Math.max(0, half + 4 - spot.x) || Math.min(0, wide - 4 - half - spot.x); };
  return s('g', { class: `node ${state} ${site.role}`, transform: `translate(${spot.x} ${spot.y})` },
    s('circle', { class: 'disc', r: radius }),
    site.role === 'standby' && s('circle', { class: 'inner', r: radius - 5 }),
    s('text', { class: 'sign', y: 7 }, { self: '✓', up: '✓', down: '✕' }[state] ?? '?'),
    s('text', { class: 'name', x: inside(name, 10.8), y: above ? -radius - (under ? 25 : 9) : radius + 20 }, name),
    under && s('text', { class: 'under', x: inside(under, 6.8), y: above ? -radius - 9 : radius + 36 }, under));
}

// drawing is the map; sites and links are as in sites.js.
export function drawing(sites, links) {
  const size = measures(sites.length), spots = places(sites, size);
  const words = links.map((l) => `${l.a} to ${l.b}: ${l.ab}; ${l.b} to ${l.a}: ${l.ba}`);
  return s('svg', { viewBox: `0 0 ${size.wide} ${size.high}`, role: 'img', 'aria-label': words.length ? `Links. ${words.join('. ')}.` : 'This site is alone: there are no links.' },
    links.filter((l) => spots.has(l.a) && spots.has(l.b)).map((l) => {
      const a = spots.get(l.a), b = spots.get(l.b), there = `${l.a} → ${l.b}: ${l.ab}`, back = `${l.b} → ${l.a}: ${l.ba}`;
      if (size.many && l.ab === 'up' && l.ba === 'up') return line(a, b, `${there}; ${back}`);
      return [arrow(a, b, l.ab, there, size.radius), arrow(b, a, l.ba, back, size.radius), !size.many && note(a, b, l)];
    }),
    sites.map((site) => node(site, spots.get(site.name), size)));
}

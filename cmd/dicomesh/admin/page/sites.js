// The sites: as a table, and one of them in detail.

import { h, count, some, bytes, lasting, stated, plain, among } from './parts.js';
import { question } from './live.js';

// reached are the sites to which ways lead that carry in both directions, from this one on.
function reached(status) {
  const found = new Set([status.site]);
  const carrying = (status.links ?? []).filter((l) => l.there.state === 'up' && l.back.state === 'up');
  for (let more = true; more;) {
    more = false;
    for (const l of carrying) {
      if (found.has(l.a) === found.has(l.b)) continue;
      found.add(l.a).add(l.b);
      more = true;
    }
  }
  return found;
}

// sitesOf are the sites of a status as they are shown. linked are those of which this one knows what they hold now.
export function sitesOf(status) {
  const own = (x) => Number(x.name === status.site), near = reached(status); // this one is the first
  return status.sites.toSorted((x, y) => own(y) - own(x)).map((x) => {
    const self = x.name === status.site, link = linkTo(status.links ?? [], status.site, x.name);
    const silent = link ? Math.max(link.there.silent_s, link.back.silent_s) : 0, carries = !link || (link.there.state === 'up' && link.back.state === 'up');
    // A connection may look open for a while after its line is cut, and a site may be thought alive: what the cluster is judged by counts.
    const far = near.has(x.name) || !link ? 'up, through others' : silent > 0 ? `silent for ${lasting(silent)}` : 'coming up';
    const state = x.state.startsWith('up') && !self && !(/^up(, without its archive)?$/.test(x.state) && carries) ? far : x.state.replace(/^down/, 'not heard'); // whether it is down nobody here knows
    const up = /without its archive/.test(state) ? 'other' : state.startsWith('up') ? 'up' : /^(not heard|silent)/.test(state) ? 'down' : 'other';
    return { ...x, self, state, up, linked: state === 'up', words: state.replace(/ by .*/, '') };
  });
}

// linksOf are the expected links of a cluster with the state of each direction: up, down or unknown; of those of this site also what is measured. before is the status
// that was heard earlier, for rates.
export function linksOf(status, before) {
  const own = (of, name) => of?.sites.find((x) => x.name === name)?.links?.[0];
  return (status.links ?? []).map((l) => {
    const link = { a: l.a, b: l.b, ab: l.there.state, ba: l.back.state, reason: l.reason, silent: Math.max(l.there.silent_s, l.back.silent_s) };
    if (l.a !== status.site && l.b !== status.site) return link;
    const other = l.a === status.site ? l.b : l.a, now = own(status, other), old = own(before?.status, other);
    const moved = now && old ? (now.sent_bytes ?? 0) + (now.received_bytes ?? 0) - (old.sent_bytes ?? 0) - (old.received_bytes ?? 0) : 0;
    return { ...link, rtt: now?.rtt_s, loss: now?.loss ?? 0, connections: now?.connections, rate: before ? Math.max(0, moved) / before.seconds : 0 };
  });
}

// linkTo is the link of this site with another one.
const linkTo = (links, self, name) => links.find((l) => (l.a === name && l.b === self) || (l.b === name && l.a === self));

// apart says in a sentence who does not reach whom, as far as links tell it; '' where they do not.
export function apart(sites, links) {
  const self = sites.find((x) => x.self)?.name;
  const dead = links.filter((l) => l.ab === 'down' && l.ba === 'down'), deaf = links.filter((l) => (l.ab === 'down') !== (l.ba === 'down'));
  const from = dead.filter((l) => l.a === self || l.b === self).map((l) => (l.a === self ? l.b : l.a));
  if (from.length > 0 && from.length === sites.length - 1) return `${self} is cut off: nothing comes from ${among(from, 'or')}.`;
  const said = [];
  if (from.length) said.push(`${self} and ${among(from)} do not reach each other`);
  for (const l of dead) if (l.a !== self && l.b !== self) said.push(`${l.a} and ${l.b} do not reach each other`);
  for (const l of deaf) said.push(l.ab === 'down' ? `${l.b} does not hear ${l.a}` : `${l.a} does not hear ${l.b}`);
  return said.length ? `${said.slice(0, 3).join('; ')}${said.length > 3 ? `; and ${said.length - 3} links more` : ''}.` : '';
}

// quick is a time there and back.
export const quick = (rtt) => `${rtt < 0.00095 ? '<\u202f1' : Math.round(rtt * 1000)}\u202fms`;

// lag is what a site has not got of what others have, as far as it is known here.
function lag(site, unknown) {
  const said = (tone, sign, ...words) => h('span', { class: `state ${tone}` }, h('i', { 'aria-hidden': 'true' }, sign), '\u00a0', words);
  const much = () => [some(site.lag.studies, 'study', 'studies'), site.lag.bytes > 0 && `, ${bytes(site.lag.bytes)}`, site.lag.seconds >= 1 && `, for ${lasting(site.lag.seconds)}`];
  if (site.self) return site.lag.studies ? said('warn', '▲', much()) : ''; // what others have now that are not reached nobody here knows
  if (unknown) return said('warn', '?', site.lag.studies ? ['at least ', much()] : 'not known');
  if (site.lag.studies) return said('warn', '▲', much());
  return site.not_level ? said('quiet', '↻', 'being compared') : said('good', '✓', 'nothing');
}

// table lists the sites. open(name) shows one.
export function table(sites, links, open) {
  const self = sites.find((x) => x.self)?.name;
  const cell = (label, ...content) => h('td', { 'data-label': label }, ...content);
  return h('table', {},
    h('thead', {}, h('tr', {}, ['Site', 'Role', 'State', 'Lacks', 'Heard', 'Link'].map((t) => h('th', { scope: 'col' }, t)))),
    h('tbody', {}, sites.map((x) => {
      const link = linkTo(links, self, x.name);
      const unknown = !x.linked;
      const bad = x.up === 'down' ? 'bad' : x.up === 'up' ? 'good' : 'warn';
      return h('tr', {},
        h('th', { scope: 'row' }, h('button', { class: 'plain', 'data-key': `site-${x.name}`, onclick: () => open(x.name) }, x.name)),
        cell('Role', x.self ? `${x.role}, this site` : x.role),
        cell('State', h('span', { class: `state ${bad}` }, h('i', { 'aria-hidden': 'true' }, { up: '✓', down: '✕' }[x.up] ?? '–'), '\u00a0', x.words), x.mark && [' ', h('span', { class: 'state warn' }, h('i', { 'aria-hidden': 'true' }, '▲'), '\u00a0marked')]),
        cell('Lacks', lag(x, unknown)),
        cell('Heard', x.self ? '' : x.last_seen_s > 0 ? (x.last_seen_s < 5 ? 'now' : `${lasting(x.last_seen_s)} ago`) : 'never'),
        cell('Link', x.self || !link?.connections || link.ab !== 'up' || link.ba !== 'up' ? '' : `${quick(link.rtt)}${link.loss >= 0.001 ? `, ${(link.loss * 100).toFixed(1)}\u202f% lost` : ''}`));
    })));
}

// markWords says why a site is marked, and until when.
const markWords = (m) => `What it sent was refused${m.times > 1 ? ` ${count(m.times)} times` : ''}, the last time ${lasting(m.last_s)} ago: ${plain(m.reason)}.${m.asked_last ? ' It is asked after all others until a study comes from it.' : ''} The mark ends ${new Date(m.until).toLocaleString()}.`;

// detail is one site: its link, and what it holds otherwise. named gives a study its name.
export async function detail(site, links, named) {
  const facts = [['Role', site.role], ['State', site.state]];
  if (site.mark) facts.push(['Marked', markWords(site.mark)]);
  for (const link of links.filter((l) => l.a === site.name || l.b === site.name)) {
    facts.push(['Link', `${link.a} → ${link.b}: ${link.ab}; ${link.b} → ${link.a}: ${link.ba}${link.reason ? ` (${plain(link.reason)})` : ''}`]);
    if (link.connections && link.ab === 'up' && link.ba === 'up') facts.push(['', `${some(link.connections, 'connection')}, ${(link.rtt * 1000).toFixed(1)}\u202fms there and back, ${(link.loss * 100).toFixed(1)}\u202f% lost lately`]);
  }
  const out = [h('dl', { class: 'facts' }, facts.map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)]))];
  if (site.self) return out;
  const differs = await question(`/api/v1/diff?site=${encodeURIComponent(site.name)}&limit=50`);
  if (!differs.linked) out.push(h('p', { class: 'state warn' }, 'There is no link: what follows is from before, and what it holds now is not known.'));
  out.push(h('h3', {}, differs.total ? `${some(differs.total, 'study differs', 'studies differ')}` : differs.level ? 'It holds the same of every study' : 'No difference is known'));
  if (differs.total) {
    out.push(h('table', {}, h('thead', {}, h('tr', {}, ['Study', 'Here', 'There', 'For', 'Why'].map((t) => h('th', { scope: 'col' }, t)))),
      h('tbody', {}, differs.studies.map((d) => h('tr', {}, h('th', { scope: 'row' }, named(d)), h('td', { 'data-label': 'Here' }, d.here), h('td', { 'data-label': 'There' }, d.there),
        h('td', { 'data-label': 'For' }, lasting(d.seconds)), h('td', { 'data-label': 'Why' }, plain(d.why)))))));
    if (differs.total > differs.studies.length) out.push(h('p', { class: 'quiet' }, `and ${count(differs.total - differs.studies.length)} more: dicomesh diff ${site.name}`));
  }
  return out;
}

// where says of a study which sites have it, in a sentence and a table. silent are the sites that are not heard now.
export function where(study, silent) {
  const holders = study.holders.map((x) => ({ ...x, silent: silent.has(x.site), safe: x.level && x.complete && x.durable }));
  const those = (fits) => holders.filter(fits).map((x) => x.site).join(', ');
  const safe = those((x) => x.safe && !x.silent), not = those((x) => !x.safe && !x.silent && !x.waived);
  const unsure = those((x) => x.silent && !x.waived), waived = those((x) => x.waived && (x.silent || !x.safe));
  const words = [safe && `Whole and safe at ${safe}.`, not && `Not all of it at ${not}.`, unsure && `Not known of ${unsure}: there is no contact.`,
    waived && `Not known of ${waived}, for which nobody waits: an operator has said that it is down.`].filter(Boolean).join(' ');
  const said = (tone, sign, word) => h('span', { class: `state ${tone}` }, h('i', { 'aria-hidden': 'true' }, sign), ` ${word}`);
  const mark = (yes, x, word) => h('td', { 'data-label': word }, x.silent || x.waived ? said('warn', '?', yes ? 'was so' : 'unknown') : yes ? said('good', '✓', 'yes') : said('bad', '✕', 'no'));
  const why = (x) => h('td', { 'data-label': 'Why not', class: 'why' }, plain(x.why) || (x.silent ? 'no contact' : ''));
  const unclear = holders.some((x) => x.why || x.silent);
  return [h('p', { class: 'where-words' }, words),
    h('table', { class: 'where-table' }, h('thead', {}, h('tr', {}, ['Site', 'The same as here', 'Complete', 'Durable', unclear && 'Why not'].filter(Boolean).map((t) => h('th', { scope: 'col' }, t)))),
      h('tbody', {}, holders.map((x) => h('tr', {}, h('th', { scope: 'row' }, x.site), mark(x.level, x, 'The same as here'), mark(x.complete, x, 'Complete'), mark(x.durable, x, 'Durable'), unclear && why(x)))))];
}

// standing is the state of a study with its reason.
export function standing(study) {
  return [stated(study.state), study.provisional && h('b', { class: 'state warn' }, ' provisional output'), study.reason && h('span', {}, ` ${plain(study.reason)}`)];
}

// The page: what is shown where.

import { h, s, get, put, say, count, some, bytes, lasting, clock, curve, plain, glyphs, tone } from './parts.js';
import { Live, question } from './live.js';
import { sitesOf, linksOf, apart, table, detail } from './sites.js';
import { Studies } from './studies.js';
import { drawing } from './map.js';

const kept = 300_000, slots = 100; // of the curves: five minutes

const studies = new Studies(show);
const past = []; // statuses that were heard: {at, status}, oldest first
let now;         // the last one
let sites, links; // as they are shown

addEventListener('resize', () => now && put(get('map'), drawing(sites, links)));
const live = new Live({ heard, happened, contact });
setInterval(tick, 1000);

question('/api/v1/session').then((who) => {
  studies.byUID = who.study_names === 'uid';
  get('leave').hidden = !who.ends;
  get('leave').title = `${who.name} (${who.role})`;
  if (who.ends) setInterval(() => question('/api/v1/session').catch(() => {}), 3_600_000); // it goes on while this page is open, if it only reads
  studies.refresh(0);
}, () => studies.refresh(0));
get('leave').addEventListener('click', async () => {
  await fetch('/session', { method: 'DELETE' });
  location.assign('/login');
});
const dialog = get('detail');
let load, asked = 0; // what gives the dialog's title and content; when it was last asked
let from;            // where the focus was when it was opened: {id, key}
get('close').addEventListener('click', () => dialog.close());
dialog.addEventListener('click', (event) => event.target === dialog && dialog.close()); // beside it
dialog.addEventListener('close', () => {
  load = undefined;
  [...((from?.id && get(from.id))?.querySelectorAll('[data-key]') ?? [])].find((e) => e.dataset.key === from.key)?.focus(); // it may be another element by now
});

// show opens the dialog with what give gives, a title and content; while it is open it is asked again and again, so that what it shows is of now.
async function show(give) {
  const held = document.activeElement;
  if (!dialog.open) from = { id: held.closest('[id]')?.id, key: held.dataset.key };
  load = give;
  const [title, ...content] = await give().catch((error) => ['It could not be had', h('p', {}, error.message)]);
  if (load !== give) return; // something else was opened meanwhile
  draw(title, content);
  dialog.scrollTop = 0;
  if (!dialog.open) dialog.showModal();
}

function draw(title, content) {
  say(get('detail-title'), title);
  put(get('detail-body'), ...content);
}

// again keeps the dialog current.
async function again() {
  const give = load;
  if (!dialog.open || !give || Date.now() - asked < 1500) return;
  asked = Date.now();
  try {
    const [title, ...content] = await give();
    if (load === give && dialog.open) draw(title, content);
  } catch { /* what is shown stays, and its age is told */ }
}

// heard takes a status.
function heard(status) {
  const before = past.findLast((p) => Date.now() - p.at > 2500);
  past.push({ at: Date.now(), status });
  while (past[0].at < Date.now() - kept) past.shift();
  const changed = !now || JSON.stringify(now.studies) !== JSON.stringify(status.studies) || now.state !== status.state;
  now = status;
  sites = sitesOf(status);
  links = linksOf(status, before && { ...before, seconds: (Date.now() - before.at) / 1000 });
  hero();
  put(get('map'), drawing(sites, links));
  put(get('sites'), table(sites, links, site));
  put(get('counts'), counts(status.studies));
  put(get('flow'), flow());
  put(get('disk'), disk(status));
  put(get('alarms'), alarms(troubles(status)));
  say(get('version'), status.version);
  if (changed) {
    studies.refresh();
    studies.waiting(status.studies);
  }
  again();
}

// site shows one in the dialog.
function site(name) {
  const named = (d) => studies.button(d.study, d.name);
  show(async () => [`Site ${name}`, await detail(sites.find((x) => x.name === name), links, named)]);
}

// hero is what can be read from across a room.
function hero() {
  const lost = document.body.dataset.contact === 'lost';
  const word = lost ? 'no contact' : now.agent === 'running' ? now.state : now.agent;
  const trouble = !lost && troubles(now).some(([kind]) => kind === 'bad');
  document.body.dataset.trouble = trouble ? 'bad' : 'none';
  document.body.dataset.sites = now.sites.length === 1 ? 'one' : 'several';
  document.body.dataset.state = lost ? 'none' : now.agent === 'running' ? now.state : 'none';
  say(get('word'), word);
  const who = now.agent === 'running' && now.state !== 'whole' ? apart(sites, links) : '';
  say(get('reason'), lost ? `The agent of ${now.site} does not answer. All below is how it was at ${clock(new Date(live.last))}, not how it is.` : who || plain(now.reason) || usual(now));
  say(get('because'), lost || !who ? '' : plain(now.reason));
  put(get('glance'), lost || now.agent !== 'running' ? [] : glance(now.studies));
  say(get('cluster'), now.cluster);
  say(get('site'), `seen from ${now.site}`);
  document.title = `${trouble ? '✕ ' : ''}${word} · ${now.site}`;
  get('icon').href = `/page/icon-${document.body.dataset.state}.svg`;
}

// glance is the number that matters most, and what it is of.
function glance(n) {
  const waiting = n.held + n.incomplete + n.conflict, going = n.syncing + n.published;
  const [figure, words] = waiting ? [waiting, waiting === 1 ? 'study waits' : 'studies wait'] : going ? [going, 'under way'] : [n.total, n.total === 0 ? 'studies so far' : n.total === 1 ? 'study, settled' : 'studies, all settled'];
  return [h('b', {}, count(figure)), ' ', words];
}

function usual(status) {
  if (status.agent !== 'running') return `The agent is ${status.agent}: what is shown may be incomplete.`;
  if (status.sites.length === 1) return 'One site, alone: there is nobody to differ from.';
  return `All ${count(status.sites.length)} sites reach each other.`;
}

// contact tells how the page hears of the agent.
function contact(how) {
  const before = document.body.dataset.contact;
  document.body.dataset.contact = how;
  if (before !== how && now) hero();
  tick();
}

// tick is once a second: ages grow although nothing is heard.
function tick() {
  const how = document.body.dataset.contact;
  if (!now) {
    say(get('contact'), 'asking the agent …');
    if (performance.now() > 10_000) noneYet();
    return;
  }
  const age = lasting(live.age / 1000);
  get('detail-age').hidden = how !== 'lost';
  say(get('detail-age'), how === 'lost' ? `No contact: this is how it was at ${clock(new Date(live.last))}.` : '');
  say(get('contact'), { live: 'live', polling: 'asking every 4 s', lost: `no contact for ${age}` }[how]);
  if (how === 'lost') return say(get('since'), `Last heard ${age} ago. Is the agent running? On its machine: dicomesh status`);
  const since = new Date(now.since);
  const meanwhile = now.agent === 'running' && (now.state === 'split' || (now.state !== 'whole' && now.studies.held > 0)) ? ' What changes meanwhile is held; what was settled stays published.' : '';
  say(get('since'), since.getFullYear() > 1 ? `Since ${clock(since)}, ${lasting((Date.now() - since) / 1000)}.${meanwhile}` : '');
}

function noneYet() {
  document.body.dataset.contact = 'lost';
  say(get('word'), 'no contact');
  say(get('reason'), 'The agent has not answered since this page was opened.');
  document.title = 'no contact · dicomesh';
}

function counts(n) {
  const apart = n.provisional > 0 && h('p', { class: 'warn' }, `${n.provisional === 1 ? 'One study is' : `${count(n.provisional)} studies are`} shown provisionally, made while the cluster was split. Each answer says so.`);
  const order = ['settled', 'published', 'syncing', 'held', 'incomplete', 'conflict'];
  return [h('p', { class: 'total' }, h('b', {}, count(n.total)), n.total === 1 ? ' study' : ' studies'),
    h('div', { class: 'share', 'aria-hidden': 'true' }, order.filter((k) => n[k] > 0).map((k) => { const part = h('i', { class: k }); part.style.flexGrow = n[k]; return part; })),
    h('dl', { class: 'states' }, order.map((k) => h('div', { class: n[k] ? `${k} ${tone[k] ?? ''}` : `${k} zero` }, h('dt', {}, h('i', { 'aria-hidden': 'true' }, glyphs[k]), ' ', k), h('dd', {}, count(n[k]))))), apart];
}

// rates is how fast a number grew, for each piece of the past.
function rates(of) {
  const each = kept / slots, out = [];
  let old;
  for (const p of past) {
    if (old && p.at - old.at < each) continue;
    if (old) out.push(Math.max(0, of(p.status) - of(old.status)) / ((p.at - old.at) / 1000));
    old = p;
  }
  return out.slice(-slots);
}

const few = (unit) => (v) => `${v > 0 && v < 10 ? v.toFixed(1) : count(v)}\u202f${unit}`;

function flow() {
  const links = (key) => (status) => status.sites.flatMap((x) => x.links ?? []).reduce((sum, l) => sum + (l[key] ?? 0), 0);
  const all = [['Taken in', (x) => x.inbox.stored + x.inbox.duplicate + x.inbox.conflict, few('files/s')], ['Received from sites', links('received_bytes'), (v) => `${bytes(v)}/s`],
    ['Sent to sites', links('sent_bytes'), (v) => `${bytes(v)}/s`], ['DICOMweb files made', (x) => x.work.written, few('files/s')]];
  return all.map(([title, of, unit]) => {
    const values = rates(of);
    return h('div', { class: 'rate' }, h('span', {}, title), h('b', {}, unit(values.at(-1) ?? 0)), curve(values, slots));
  });
}

function disk(status) {
  const d = status.disk, used = d.size ? (d.size - d.free) / d.size : 0, at = (left) => (d.size ? Math.min(1, Math.max(0, (d.size - left) / d.size)) * 100 : 0);
  const line = (kind, left) => s('path', { class: kind, d: `M${at(left)} 0V10` });
  const state = { ok: 'good', low: 'warn', full: 'bad', 'read-only': 'bad' }[d.state] ?? 'warn';
  const inbox = status.inbox, taken = [[inbox.stored, 'stored'], [inbox.duplicate, 'duplicate'], [inbox.conflict, 'in conflict'], [inbox.refused, 'refused']].filter(([n], i) => n > 0 || i === 0);
  return [h('p', {}, h('b', { class: 'figure' }, bytes(d.free)), ` free of ${bytes(d.size)} `, h('span', { class: `state ${state}` }, h('i', { 'aria-hidden': 'true' }, { ok: '✓', low: '▲', full: '✕', 'read-only': '✕' }[d.state] ?? '?'), ' ', d.state)),
    s('svg', { class: `gauge ${state}`, viewBox: '0 0 100 10', preserveAspectRatio: 'none', role: 'img', 'aria-label': `${Math.round(used * 100)} percent used` }, s('rect', { class: 'trough', width: 100, height: 10 }),
      s('rect', { class: 'used', width: used * 100, height: 10 }), line('low', d.watermark), line('floor', d.floor)),
    d.reason && h('p', { class: `state ${state}` }, d.reason),
    h('p', {}, h('b', { class: 'figure' }, count(inbox.waiting)), inbox.waiting === 1 ? ' file waits' : ' files wait', ' in the inbox', inbox.paused && h('span', { class: 'state bad' }, ` — nothing is taken: ${inbox.paused}`)),
    inbox.stuck > 0 && h('p', { class: 'state warn' }, `${count(inbox.stuck)} stuck there: ${inbox.stuck_why}`),
    inbox.left_alone > 0 && h('p', { class: 'quiet' }, `${count(inbox.left_alone)} left alone there: by name not finished (.NAME, NAME.part, NAME.tmp).`),
    h('p', { class: 'quiet' }, `Since the start: ${taken.map(([n, w]) => `${count(n)} ${w}`).join(', ')}.`)];
}

// troubles are what somebody has to do something about, each with how bad it is: those of this site first.
function troubles(status) {
  const all = [];
  if (status.watch.unreachable) all.push(['bad', `The tree is not there: ${status.watch.unreachable}`]);
  if (status.inbox.paused) all.push(['bad', `Nothing is taken from the inbox: ${status.inbox.paused}`]);
  if (status.certificate) all.push(['warn', status.certificate]);
  if (status.inbox.stuck) all.push(['warn', `${count(status.inbox.stuck)} stuck in the inbox: ${status.inbox.stuck_why}`]);
  if (status.disk.state !== 'ok' && status.disk.state) all.push([status.disk.state === 'low' ? 'warn' : 'bad', `The disk is ${status.disk.state}${status.disk.reason ? `: ${status.disk.reason}` : ''}`]);
  for (const a of status.alarms ?? []) all.push(['bad', typeof a === 'string' ? a : a.text ?? a.reason ?? JSON.stringify(a)]);
  if (status.studies.conflict) all.push(['warn', `${some(status.studies.conflict, 'study is', 'studies are')} in conflict and ${status.studies.conflict === 1 ? 'waits' : 'wait'} for a human`]);
  if (status.watch.limited) all.push(['warn', status.watch.limited]);
  return all;
}

function alarms(all) {
  return all.map(([kind, text]) => h('p', { class: `alarm ${kind}` }, h('i', { 'aria-hidden': 'true' }, kind === 'bad' ? '✕' : '▲'), ' ', text.replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase())));
}

const told = []; // events, newest first

// calm leaves out what was said and then said more exactly: of several reasons for which a cluster was split, or a study held, the last one stays.
function calm(events) {
  const later = new Map();
  return events.filter((e) => {
    const about = e.study || e.kind, state = e.kind === 'cluster' ? e.reason.split(':')[0] : e.kind, again = later.get(about) === state;
    later.set(about, state);
    return !again || !['cluster', 'held', 'incomplete'].includes(e.kind);
  });
}

function happened(list) {
  told.unshift(...list.toReversed());
  told.length = Math.min(told.length, 60);
  put(get('events'), calm(told).map((e) => h('li', { class: e.kind }, h('time', { datetime: e.time }, clock(new Date(e.time))), h('b', {}, e.kind), h('span', {}, e.study && [studies.button(e.study, e.name, `event-${e.seq}`), ' '], plain(e.reason)))));
  const shown = get('events'); // what is new is seen, unless somebody reads on below
  if (!shown.matches(':hover, :focus-within')) shown.scrollTop = 0;
  studies.refresh();
}
